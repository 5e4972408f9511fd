//! See `countersign_fuzz::approvals`.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(approvals);
