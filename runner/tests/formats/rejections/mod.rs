//! Every rule of suite files, broken: the place, the words, the next step.

mod bench;
mod files;
mod keys;
mod kinds;
mod messages;
mod quantization;
mod values;
