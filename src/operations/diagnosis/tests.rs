//! Every judgement, by facts.
