//! Documented chat formats, for files that carry no template. Only who names one gets it.

/// A chat format by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// What it is called.
    pub name: &'static str,
    /// Whose it is, in a few words.
    pub about: &'static str,
    /// The template.
    pub template: &'static str,
}

impl Format {
    /// The format of this name.
    pub fn named(name: &str) -> Option<&'static Format> {
        FORMATS.iter().find(|format| format.name == name)
    }
}

/// All of them.
pub const FORMATS: &[Format] = &[
    Format {
        name: "bitnet",
        about: "BitNet b1.58 2B-4T: `User: …<|eot_id|>Assistant: `",
        template: "{% for message in messages %}\
            {% if loop.first %}{{ bos_token }}{% endif %}\
            {{ message.role | capitalize }}: {{ message.content | trim }}<|eot_id|>\
            {% endfor %}\
            {% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}",
    },
    Format {
        name: "chatml",
        about: "ChatML: `<|im_start|>user` … `<|im_end|>`",
        template: "{% for message in messages %}\
            {{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}\
            {% endfor %}\
            {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    },
    Format {
        name: "llama3",
        about: "Llama 3 Instruct: `<|start_header_id|>user<|end_header_id|>` … `<|eot_id|>`",
        template: "{{ bos_token }}{% for message in messages %}\
            {{ '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' }}\
            {{ message.content | trim }}<|eot_id|>\
            {% endfor %}\
            {% if add_generation_prompt %}\
            {{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}\
            {% endif %}",
    },
];
