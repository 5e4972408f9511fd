//! The primitives that concurrent code uses: the standard library's, or a model checker's.
