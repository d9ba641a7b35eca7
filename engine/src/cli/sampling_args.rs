//! The flags that say how tokens are chosen and what ends a text, named as llama.cpp names them.

use std::hash::{BuildHasher, RandomState};

use bitnet_engine::exit::Exit;
use bitnet_engine::generate::{StopStrings, Stops};
use bitnet_engine::model::Model;
use bitnet_engine::sample::{SampleOptions, Sampler};
use clap::Args;
use serde::Serialize;

use super::terminal::Terminal;

/// Flags of every verb that generates text.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct SamplingArgs {
    /// Start of the random sequence; -1 draws one and prints it
    #[arg(short, long, value_name = "N", default_value = "-1", allow_negative_numbers = true,
        value_parser = seed)]
    seed: Seed,
    /// Temperature: above 1 more random, below 1 less, 0 always the most likely token
    #[arg(long, value_name = "T", default_value_t = 0.8, allow_negative_numbers = true)]
    temp: f32,
    /// Always the most likely token, as --temp 0
    #[arg(long, conflicts_with = "temp")]
    greedy: bool,
    /// Keep the K most likely tokens; 0 keeps all
    #[arg(long, value_name = "K", default_value_t = 40)]
    top_k: usize,
    /// Keep the most likely tokens until their probabilities reach P; 1 keeps all
    #[arg(long, value_name = "P", default_value_t = 0.95, allow_negative_numbers = true)]
    top_p: f32,
    /// Keep tokens at least P times as likely as the most likely one; 0 keeps all
    #[arg(long, value_name = "P", default_value_t = 0.05, allow_negative_numbers = true)]
    min_p: f32,
    /// Make the last tokens less likely to come again; 1 changes nothing
    #[arg(long, value_name = "X", default_value_t = 1.0, allow_negative_numbers = true)]
    repeat_penalty: f32,
    /// How many tokens --repeat-penalty looks back; -1 looks at the whole context
    #[arg(long, value_name = "N", default_value_t = 64, allow_negative_numbers = true,
        value_parser = clap::value_parser!(i64).range(-1..))]
    repeat_last_n: i64,
    /// End the text before this one; may be given more than once
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    stop: Vec<String>,
    /// End the text before this token id; may be given more than once
    #[arg(long, value_name = "ID")]
    stop_id: Vec<u32>,
    /// Never choose the tokens that end a text
    #[arg(long)]
    ignore_eos: bool,
}

/// A seed, or the wish for one.
#[derive(Debug, Clone, Copy)]
enum Seed {
    Given(u64),
    Draw,
}

fn seed(text: &str) -> Result<Seed, String> {
    match text {
        "-1" => Ok(Seed::Draw),
        _ => text.parse().map(Seed::Given).map_err(|_| "a seed is a number from 0, or -1".into()),
    }
}

/// A parser for `--n-predict`: none for -1.
pub(crate) fn n_predict(text: &str) -> Result<Limit, String> {
    match text {
        "-1" => Ok(Limit(None)),
        _ => text.parse().map(|n| Limit(Some(n))).map_err(|_| {
            "it is a number of tokens from 0, or -1 for as many as there is room for".into()
        }),
    }
}

/// Tokens to generate at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit(pub(crate) Option<usize>);

/// What the flags came to, with nothing left open: as a receipt holds it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Settings {
    /// Start of the random sequence.
    pub(crate) seed: u64,
    /// The seed was not given.
    #[serde(skip)]
    pub(crate) drawn: bool,
    temp: f32,
    top_k: usize,
    top_p: f32,
    min_p: f32,
    repeat_penalty: f32,
    repeat_last_n: usize,
    /// Tokens at most; none for no limit.
    n_predict: Option<usize>,
    stop: Vec<String>,
    stop_ids: Vec<u32>,
    ignore_eos: bool,
}

impl SamplingArgs {
    /// The options with a seed drawn where none was given. Checks them all, so that a wrong one is found before a model is loaded.
    ///
    /// # Errors
    /// [`Exit::Usage`], with the reason printed.
    pub(crate) fn settle(&self, limit: Limit, terminal: &Terminal) -> Result<Settings, Exit> {
        let (seed, drawn) = match self.seed {
            Seed::Given(seed) => (seed, false),
            // 32 bits, as llama.cpp's: short enough to type again.
            Seed::Draw => (RandomState::new().hash_one(0) >> 32, true),
        };
        let settings = Settings {
            seed,
            drawn,
            temp: if self.greedy { 0.0 } else { self.temp },
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repeat_penalty: self.repeat_penalty,
            // No context has that many.
            repeat_last_n: usize::try_from(self.repeat_last_n).unwrap_or(u32::MAX as usize),
            n_predict: limit.0,
            stop: self.stop.clone(),
            stop_ids: self.stop_id.clone(),
            ignore_eos: self.ignore_eos,
        };
        let sampler = Sampler::new(settings.options()).map_err(|error| error.to_string());
        sampler.and_then(|_| settings.stops()).map_err(|why| {
            terminal.error(why);
            Exit::Usage
        })?;
        Ok(settings)
    }
}

impl Settings {
    fn options(&self) -> SampleOptions {
        SampleOptions {
            temperature: self.temp,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repeat_penalty: self.repeat_penalty,
            repeat_last_n: self.repeat_last_n,
            seed: self.seed,
        }
    }

    /// The sampler, for a model whose ids are known.
    ///
    /// # Errors
    /// In words, if a stop id is none of the model's.
    pub(crate) fn sampler(&self, model: &Model) -> Result<Sampler, String> {
        let vocab_size = model.config().vocab_size;
        if let Some(id) = self.stop_ids.iter().find(|id| **id as usize >= vocab_size) {
            return Err(format!(
                "--stop-id {id} is not in the vocabulary of {vocab_size}; `bitnet tokenize` prints ids"
            ));
        }
        let mut sampler = Sampler::new(self.options()).map_err(|error| error.to_string())?;
        if self.ignore_eos {
            sampler.ban(model.tokenizer().end_of_generation());
        }
        Ok(sampler)
    }

    /// When a text ends.
    ///
    /// # Errors
    /// In words, if a stop string is empty.
    pub(crate) fn stops(&self) -> Result<Stops, String> {
        let strings = StopStrings::new(self.stop.clone()).map_err(|error| error.to_string())?;
        Ok(Stops {
            limit: self.n_predict,
            strings,
            ids: self.stop_ids.clone(),
            ignore_end_of_generation: self.ignore_eos,
        })
    }

    /// Says which seed was drawn, so that the text can be had again.
    pub(crate) fn announce(&self, terminal: &Terminal) {
        if self.drawn && self.temp > 0.0 {
            terminal.note(format_args!("seed: {} (drawn; --seed repeats it)", self.seed));
        }
    }
}
