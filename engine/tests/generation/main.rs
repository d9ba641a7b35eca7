//! `bitnet run` and `bitnet chat` from outside: their text is the library's, what stops them stops
//! them, and their receipts hold what can be computed again.

mod chat;
mod chat_faults;
mod receipt;
mod refusals;
mod run;
mod signals;
mod support;
