//! See `countersign_fuzz::texts`.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(texts);
