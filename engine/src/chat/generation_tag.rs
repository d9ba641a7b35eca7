//! The tag `{% generation %}`, by which Hugging Face's training marks what the assistant says: its
//! body is ordinary text with a scope of its own, which is what `{% with %}` is. Nothing else of a
//! template is changed.

/// The template with `with` in the place of `generation`, byte for byte as long as needed.
pub(super) fn as_with(template: &str) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    let mut raw = false;
    while let Some(start) = next_opening(rest, raw) {
        let end = end_of_tag(&rest[start..]).map_or(rest.len(), |length| start + length);
        let (before, tag) = (&rest[..start], &rest[start..end]);
        out.push_str(before);
        let word = match tag.starts_with("{%") && tag.ends_with("%}") {
            true => word_of(tag),
            false => "",
        };
        match word {
            "generation" if !raw => out.push_str(&tag.replacen("generation", "with", 1)),
            "endgeneration" if !raw => out.push_str(&tag.replacen("endgeneration", "endwith", 1)),
            _ => out.push_str(tag),
        }
        raw = match word {
            "raw" => true,
            "endraw" => false,
            _ => raw,
        };
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// Where the next tag, expression or comment begins; within `raw` only tags count.
fn next_opening(text: &str, raw: bool) -> Option<usize> {
    let kinds: &[&str] = if raw { &["{%"] } else { &["{%", "{{", "{#"] };
    kinds.iter().filter_map(|kind| text.find(kind)).min()
}

/// Length of the tag, expression or comment that `text` begins with; none if it is not closed.
fn end_of_tag(text: &str) -> Option<usize> {
    let close = match &text[..2] {
        "{#" => return text.find("#}").map(|at| at + 2),
        "{{" => "}}",
        _ => "%}",
    };
    // What stands between quotes closes nothing.
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in text.char_indices().skip(2) {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if text[at..].starts_with(close) => return Some(at + 2),
            None => {}
        }
    }
    None
}

/// The only word of a tag, or nothing if it has more.
fn word_of(tag: &str) -> &str {
    let inner = tag.trim_start_matches("{%").trim_end_matches("%}");
    let inner = inner.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']).trim();
    if inner.chars().all(|c| c.is_ascii_alphabetic()) { inner } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tag_itself_is_replaced() {
        for (template, truth) in [
            ("{% generation %}a{% endgeneration %}", "{% with %}a{% endwith %}"),
            ("{%- generation -%} a {%- endgeneration -%}", "{%- with -%} a {%- endwith -%}"),
            ("{%generation%}a{%+endgeneration%}", "{%with%}a{%+endwith%}"),
            (
                "{# {% generation %} #}{{ '{% generation %}' }}",
                "{# {% generation %} #}{{ '{% generation %}' }}",
            ),
            (
                "{% raw %}{% generation %}{{ {% endraw %}{% generation %}",
                "{% raw %}{% generation %}{{ {% endraw %}{% with %}",
            ),
            ("{% set x = '%}' %}{% generation %}", "{% set x = '%}' %}{% with %}"),
            (
                "{% set generation = 1 %}{{ generation }}",
                "{% set generation = 1 %}{{ generation }}",
            ),
            ("generation", "generation"),
            ("{% generation", "{% generation"),
            ("{{ 'é\\'%}", "{{ 'é\\'%}"),
        ] {
            assert_eq!(as_with(template), truth);
        }
    }
}
