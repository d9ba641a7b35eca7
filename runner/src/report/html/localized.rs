//! What `parity localize` found, on the page of its case: the finding in words and the profile of its
//! tensors. Every figure is the finding's.

use maud::{Markup, html};

use super::rows::{Bar, bars};
use super::scale::Scale;
use crate::escape;
use crate::localize::{Level, Localization, report};

/// Levels that are drawn: around the first one above its floor where there are more.
const MOST_LEVELS: usize = 40;

/// The finding, and stage by stage how far the tensors are apart.
pub fn section(found: &Localization) -> Markup {
    let levels = shown(&found.profile);
    let relative = |level: &Level| level.distance.as_ref().and_then(|distance| distance.relative);
    let values = levels.iter().filter_map(relative).chain(levels.iter().map(|level| level.noise));
    let rows: Vec<Bar> = levels.iter().map(bar).collect();
    html! {
        div.why { pre { (report::text(found)) } }
        @if !rows.is_empty() {
            (bars("Where it begins: relative distance of each stage's output", Scale::powers(values), &rows, &[]))
            @if rows.len() < found.profile.len() {
                p.faint { (rows.len()) " of " (found.profile.len()) " stages are drawn" }
            }
        }
    }
}

fn shown(profile: &[Level]) -> &[Level] {
    if profile.len() <= MOST_LEVELS {
        return profile;
    }
    let flagged = profile.iter().position(|level| level.flagged).unwrap_or_default();
    let from = flagged.saturating_sub(MOST_LEVELS / 2).min(profile.len() - MOST_LEVELS);
    &profile[from..from + MOST_LEVELS]
}

fn bar(level: &Level) -> Bar {
    let relative = level.distance.as_ref().and_then(|distance| distance.relative);
    let label = match (&level.distance, relative) {
        (None, _) => "not there".to_owned(),
        (Some(_), None) => "no finite number".to_owned(),
        (Some(distance), Some(_)) if distance.is_none() => "equal bits".to_owned(),
        (Some(_), Some(relative)) => format!("{relative:.2e}, noise {:.1e}", level.noise),
    };
    Bar {
        name: escape::text(&format!("{} {}", level.stage, level.tensor)),
        value: relative.unwrap_or_default(),
        label,
        class: if level.flagged { "bad-mark" } else { "quiet" },
    }
}
