//! How models are fetched: flags, and what the environment says of the hub, its cache and patience.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use super::address;
use super::error::StoreError;
use super::secret::hub_home;

/// The public hub.
const HUB: &str = "https://huggingface.co";
/// Seconds without a byte, or without an answer to HEAD.
const PATIENCE: Duration = Duration::from_secs(10);

/// How models are fetched.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// Hash files again whose stamp holds.
    pub verify: bool,
    /// Open no socket.
    pub offline: bool,
    /// Fetch without encryption from other machines as well.
    pub allow_http: bool,
    /// Ids of models whose terms the user accepts.
    pub accepted_terms: Vec<String>,
    /// Where the hub is; a URL without user name and query.
    pub hub_endpoint: String,
    /// The cache of the hub's own tools; nothing is ever written there.
    pub hub_cache: Option<PathBuf>,
    /// How long a source may give nothing.
    pub stall: Duration,
    /// How long the hub may take to say what it has.
    pub head_timeout: Duration,
}

impl Default for FetchOptions {
    /// The public hub, no cache of other tools.
    fn default() -> Self {
        Self {
            verify: false,
            offline: false,
            allow_http: false,
            accepted_terms: Vec::new(),
            hub_endpoint: HUB.to_owned(),
            hub_cache: None,
            stall: PATIENCE,
            head_timeout: PATIENCE,
        }
    }
}

impl FetchOptions {
    /// What the environment says; flags are for the caller to add.
    ///
    /// # Errors
    /// If a variable has a value that cannot be used.
    pub fn from_environment() -> Result<Self, StoreError> {
        let given = |name| env::var_os(name).filter(|value| !value.is_empty());
        let hub_cache = given("HF_HUB_CACHE").map(PathBuf::from);
        Ok(Self {
            offline: is_on("BITNET_OFFLINE") || is_on("HF_HUB_OFFLINE"),
            hub_endpoint: endpoint()?,
            hub_cache: hub_cache.or_else(|| hub_home().map(|home| home.join("hub"))),
            stall: seconds("HF_HUB_DOWNLOAD_TIMEOUT")?,
            head_timeout: seconds("HF_HUB_ETAG_TIMEOUT")?,
            ..Self::default()
        })
    }
}

/// Whether a variable says yes.
pub(crate) fn is_on(name: &str) -> bool {
    env::var(name).is_ok_and(|value| {
        ["1", "ON", "YES", "TRUE"].iter().any(|yes| value.trim().eq_ignore_ascii_case(yes))
    })
}

fn endpoint() -> Result<String, StoreError> {
    const NAME: &str = "HF_ENDPOINT";
    let Some(value) = env::var_os(NAME).filter(|value| !value.is_empty()) else {
        return Ok(HUB.to_owned());
    };
    let value = value.to_string_lossy().trim().to_owned();
    let setting = |why: String| StoreError::Setting { name: NAME, why };
    let url = address::check(&value)
        .map_err(|why| setting(format!("is no https:// URL without user name: {why}")))?;
    if url.scheme() == "file" || url.query().is_some() {
        return Err(setting("is no https:// URL without query".to_owned()));
    }
    Ok(value)
}

fn seconds(name: &'static str) -> Result<Duration, StoreError> {
    const LONGEST: f64 = 86_400.0;
    let Some(value) = env::var_os(name).filter(|value| !value.is_empty()) else {
        return Ok(PATIENCE);
    };
    let number = value.to_str().and_then(|value| value.trim().parse::<f64>().ok());
    match number {
        Some(number) if number > 0.0 && number <= LONGEST => Ok(Duration::from_secs_f64(number)),
        _ => {
            let why = format!("is {value:?}, allowed are seconds above 0 up to {LONGEST}");
            Err(StoreError::Setting { name, why })
        }
    }
}

/// The user's cache folder; relative values of `XDG_CACHE_HOME` do not count.
pub(super) fn user_cache() -> Result<PathBuf, String> {
    use etcetera::BaseStrategy;
    // The password file is no substitute: who has no HOME has no place that is theirs.
    #[cfg(unix)]
    {
        let absolute =
            |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        if let Some(cache) = absolute("XDG_CACHE_HOME") {
            return Ok(cache);
        }
        if absolute("HOME").is_none() {
            return Err("HOME is no absolute path".to_owned());
        }
    }
    let base = etcetera::choose_base_strategy().map_err(|error| error.to_string())?;
    Ok(base.cache_dir())
}
