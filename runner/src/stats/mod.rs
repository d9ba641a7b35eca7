//! Statistics of samples and rates: numbers in, numbers out; knows no engine, suite or file.

mod bootstrap;
mod moments;
mod poisson_binomial;
mod rate;
mod rng;
mod sample;

pub use bootstrap::{FEWEST, bootstrap_mean};
pub use moments::{Moments, PairedMean, ln_perplexity_ratio, paired_mean, student_t};
pub use poisson_binomial::poisson_binomial_tail;
pub use rate::{Interval, certifying_count, normal_cdf, wilson, z_one_sided, z_two_sided};
pub use rng::Rng;
pub use sample::{MAD_TO_SIGMA, Sample};
