//! The schema of packs that docs/ publishes, held equal to the code.
