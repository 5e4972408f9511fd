//! See `countersign_fuzz::policy`.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(policy);
