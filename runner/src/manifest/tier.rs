//! When a case runs, in order of cost; reads no environment and decides nothing.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a case runs; a higher tier runs all lower ones too.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// On every push: models of up to 50 MB that are built here, no download.
    CiLight,
    /// With models of full size.
    Integration,
}

impl Tier {
    /// All tiers, lowest first.
    pub const ALL: [Self; 2] = [Self::CiLight, Self::Integration];

    /// The word of the file, of ids and of `BITNET_TIER`.
    pub fn name(self) -> &'static str {
        match self {
            Self::CiLight => "ci-light",
            Self::Integration => "integration",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
