//! See `countersign_fuzz::index`.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(index);
