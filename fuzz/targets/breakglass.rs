//! See `countersign_fuzz::breakglass`.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(breakglass);
