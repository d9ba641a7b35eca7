//! What was measured, as a Markdown table, CSV or JSON with llama-bench's columns. Measures nothing.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use bitnet_engine::escape;
use bitnet_engine::gguf::{GgufFile, TensorType};
use bitnet_engine::kernels::Isa;
use bitnet_engine::model::KeyCache;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value as Json;

use super::limits::Limits;
use super::measure::Test;
use super::nanoseconds;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// A Markdown table, and sentences below it
    Md,
    /// Comma-separated values, without the single times
    Csv,
    /// One JSON array
    Json,
    /// JSON, one object a line
    Jsonl,
}

/// How the first answer began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    /// Opening and loading.
    pub(super) load: Duration,
    /// From the start to the first id behind a prompt of so many ids, loading included.
    pub(super) first_token: Duration,
    pub(super) prompt: usize,
}

/// One test.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) test: String,
    pub(super) n_threads: usize,
    n_prompt: usize,
    n_gen: usize,
    n_depth: usize,
    output: Option<String>,
    isa: &'static str,
    /// Type of the keys in the KV cache.
    type_k: String,
    avg_ns: f64,
    stddev_ns: Option<f64>,
    avg_ts: f64,
    stddev_ts: Option<f64>,
    samples_ns: Vec<u64>,
    samples_ts: Vec<f64>,
    /// Weights and KV cache, averaged over the test's positions.
    bytes_per_token: Option<f64>,
    /// Of int8, in the layers' matrices.
    macs_per_token: Option<u64>,
    read_bytes_per_second: Option<f64>,
    int8_macs_per_second: Option<f64>,
    int8_instruction: Option<&'static str>,
    /// Part of the limit that applies: bytes for a generation, products for a prompt.
    roofline: Option<f64>,
}

impl Row {
    /// What `samples`, nanoseconds of each repetition, say of a test with such keys.
    pub(super) fn new(
        test: &Test,
        n_threads: usize,
        isa: Isa,
        keys: KeyCache,
        samples: &[u64],
    ) -> Self {
        let rates: Vec<f64> =
            samples.iter().map(|&ns| test.tokens as f64 * 1e9 / ns as f64).collect();
        let times: Vec<f64> = samples.iter().map(|&ns| ns as f64).collect();
        let (n_prompt, n_gen) = if test.is_prompt() { (test.tokens, 0) } else { (0, test.tokens) };
        let output = test.output.and_then(|output| output.to_possible_value());
        Self {
            test: test.name(),
            n_threads,
            n_prompt,
            n_gen,
            n_depth: test.depth,
            output: output.map(|value| value.get_name().to_owned()),
            isa: isa.name(),
            type_k: keys.to_string().to_lowercase(),
            avg_ns: mean(&times),
            stddev_ns: deviation(&times),
            avg_ts: mean(&rates),
            stddev_ts: deviation(&rates),
            samples_ns: samples.to_vec(),
            samples_ts: rates,
            bytes_per_token: None,
            macs_per_token: None,
            read_bytes_per_second: None,
            int8_macs_per_second: None,
            int8_instruction: None,
            roofline: None,
        }
    }

    /// With the bytes that one id reads, which bound it.
    pub(super) fn reading(self, bytes: f64) -> Self {
        Self { bytes_per_token: Some(bytes), ..self }
    }

    /// With the int8 products that one id takes, which bound it.
    pub(super) fn multiplying(self, macs: Option<u64>) -> Self {
        Self { macs_per_token: macs, ..self }
    }

    /// Takes down what the machine could do.
    pub(super) fn limit(&mut self, limits: Limits) {
        self.read_bytes_per_second = Some(limits.bandwidth);
        self.int8_macs_per_second = limits.peak.map(|peak| peak.macs_per_second);
        self.int8_instruction = limits.peak.map(|peak| peak.instruction);
        let reads = self.bytes_per_token.map(|bytes| bytes / limits.bandwidth);
        let macs = self.macs_per_token.zip(self.int8_macs_per_second);
        let seconds = reads.or(macs.map(|(macs, peak)| macs as f64 / peak));
        self.roofline = seconds.map(|seconds| seconds * self.avg_ts);
    }

    /// What the machine could do, where it was measured.
    fn limit_in_words(&self) -> Option<String> {
        let bandwidth = self.read_bytes_per_second? / 1e9;
        let products = self.int8_macs_per_second.zip(self.int8_instruction);
        let products = products.map_or_else(String::new, |(macs, instruction)| {
            format!(" and, in registers, {:.1} G int8 products/s ({instruction})", macs / 1e9)
        });
        let threads = match self.n_threads {
            1 => "1 thread".to_owned(),
            threads => format!("{threads} threads"),
        };
        Some(format!("Limits of {threads}: {bandwidth:.2} GB/s read from memory{products}."))
    }

    /// What an id takes of it.
    fn need_in_words(&self) -> Option<String> {
        self.roofline?;
        let test = &self.test;
        match (self.bytes_per_token, self.macs_per_token) {
            (Some(bytes), _) => Some(format!("A token of {test} reads {bytes:.0} bytes.")),
            (None, Some(macs)) => Some(format!("A token of {test} takes {macs} int8 products.")),
            (None, None) => None,
        }
    }

    /// Ids a second, mean and standard deviation.
    pub(super) fn rate(&self) -> String {
        match self.stddev_ts {
            Some(deviation) => format!("{:.2} ± {deviation:.2}", self.avg_ts),
            None => format!("{:.2}", self.avg_ts),
        }
    }
}

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    model_filename: String,
    model_type: String,
    model_size: u64,
    model_n_params: u64,
    backends: &'static str,
    load_ns: u64,
    first_token_ns: u64,
    first_token_n_prompt: usize,
    peak_memory_bytes: Option<u64>,
    #[serde(skip)]
    rows: Vec<Row>,
}

/// What CSV has, in this order; the fields of JSON but the single times.
const COLUMNS: [&str; 27] = [
    "model_filename",
    "model_type",
    "model_size",
    "model_n_params",
    "backends",
    "isa",
    "n_threads",
    "type_k",
    "test",
    "n_prompt",
    "n_gen",
    "n_depth",
    "output",
    "avg_ns",
    "stddev_ns",
    "avg_ts",
    "stddev_ts",
    "bytes_per_token",
    "macs_per_token",
    "read_bytes_per_second",
    "int8_macs_per_second",
    "int8_instruction",
    "roofline",
    "load_ns",
    "first_token_ns",
    "first_token_n_prompt",
    "peak_memory_bytes",
];

/// Where the table has the type of the keys.
const TYPE_K: usize = 5;

impl Report {
    /// What was measured of the model in `file`.
    pub(super) fn new(
        path: &Path,
        file: &GgufFile,
        start: Start,
        peak_memory_bytes: Option<u64>,
        rows: Vec<Row>,
    ) -> Self {
        let architecture = file.metadata().str("general.architecture").unwrap_or_default();
        let size = |tensor_type: TensorType| {
            let tensors = file.tensors().iter().filter(|t| t.tensor_type == tensor_type);
            tensors.map(|t| t.elements()).sum::<usize>()
        };
        // The type of most weights.
        let most = file.tensors().iter().map(|t| t.tensor_type).max_by_key(|&t| size(t));
        Self {
            model_filename: path.display().to_string(),
            model_type: format!("{architecture} {}", most.map_or("", |t| t.name())),
            model_size: file.tensors().iter().map(|t| t.size as u64).sum(),
            model_n_params: file.tensors().iter().map(|t| t.elements() as u64).sum(),
            backends: "CPU",
            load_ns: nanoseconds(start.load),
            first_token_ns: nanoseconds(start.first_token),
            first_token_n_prompt: start.prompt,
            peak_memory_bytes,
            rows,
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// If `out` cannot be written.
    pub(super) fn write(&self, out: &mut impl Write, format: OutputFormat) -> io::Result<()> {
        match format {
            OutputFormat::Md => self.markdown(out),
            OutputFormat::Csv => self.csv(out),
            OutputFormat::Json => {
                serde_json::to_writer_pretty(&mut *out, &self.objects()?)?;
                writeln!(out)
            }
            OutputFormat::Jsonl => {
                self.objects()?.iter().try_for_each(|row| writeln!(out, "{row}"))
            }
        }
    }

    /// One object a row, with the model's fields in each, as llama-bench has it.
    fn objects(&self) -> serde_json::Result<Vec<Json>> {
        let with_model = |row: &Row| {
            let mut object = serde_json::to_value(self)?;
            if let (Json::Object(all), Json::Object(row)) =
                (&mut object, serde_json::to_value(row)?)
            {
                all.extend(row);
            }
            Ok(object)
        };
        self.rows.iter().map(with_model).collect()
    }

    fn csv(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{}", COLUMNS.join(","))?;
        for row in self.objects()? {
            let field = |&column: &&str| match &row[column] {
                Json::Null => String::new(),
                Json::String(text) => format!("\"{}\"", text.replace('"', "\"\"")),
                number => number.to_string(),
            };
            writeln!(out, "{}", COLUMNS.iter().map(field).collect::<Vec<_>>().join(","))?;
        }
        Ok(())
    }

    fn markdown(&self, out: &mut impl Write) -> io::Result<()> {
        let head =
            ["model", "size", "params", "backend", "threads", "type_k", "test", "t/s", "roofline"];
        let mut lines = vec![head.map(str::to_owned).to_vec()];
        for row in &self.rows {
            let part = row
                .roofline
                .map_or_else(|| "-".to_owned(), |part| format!("{:.1} %", part * 100.0));
            lines.push(vec![
                escape::text(&self.model_type).replace('|', "\\|"),
                size(self.model_size),
                count(self.model_n_params),
                format!("{} {}", self.backends, row.isa),
                row.n_threads.to_string(),
                row.type_k.clone(),
                row.test.clone(),
                row.rate(),
                part,
            ]);
        }
        // As llama-bench does: a type that is the usual one has no column.
        let usual = KeyCache::default().to_string().to_lowercase();
        if self.rows.iter().all(|row| row.type_k == usual) {
            lines.iter_mut().for_each(|line| drop(line.remove(TYPE_K)));
        }
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
        let columns = lines[0].len();
        let widths: Vec<usize> =
            (0..columns).map(|column| width(column).unwrap_or(0).max(2)).collect();
        // Names to the left, figures to the right.
        let is_name = |column: usize| matches!(column, 0 | 3);
        for (index, line) in lines.iter().enumerate() {
            for (column, (text, &width)) in line.iter().zip(&widths).enumerate() {
                match is_name(column) {
                    true => write!(out, "| {text:<width$} ")?,
                    false => write!(out, "| {text:>width$} ")?,
                }
            }
            writeln!(out, "|")?;
            if index == 0 {
                for (column, &width) in widths.iter().enumerate() {
                    let end = if is_name(column) { '-' } else { ':' };
                    write!(out, "| {}{end} ", "-".repeat(width - 1))?;
                }
                writeln!(out, "|")?;
            }
        }
        self.sentences(out)
    }

    fn sentences(&self, out: &mut impl Write) -> io::Result<()> {
        let seconds = |ns: u64| ns as f64 / 1e9;
        writeln!(
            out,
            "\nLoaded in {:.3} s; the first token behind {} ids came after {:.3} s, loading included.",
            seconds(self.load_ns),
            self.first_token_n_prompt,
            seconds(self.first_token_ns)
        )?;
        match self.peak_memory_bytes {
            Some(bytes) => writeln!(out, "Peak memory {}, mapped file included.", size(bytes))?,
            None => writeln!(out, "Peak memory is not told by this system.")?,
        }
        let mut told = Vec::new();
        for row in &self.rows {
            for sentence in [row.limit_in_words(), row.need_in_words()].into_iter().flatten() {
                if !told.contains(&sentence) {
                    writeln!(out, "{sentence}")?;
                    told.push(sentence);
                }
            }
        }
        Ok(())
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// With n − 1; none of a single value.
fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
}

/// Bytes in the unit that llama-bench takes.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_073_741_824 => format!("{:.2} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

/// Parameters in the unit that llama-bench takes.
fn count(parameters: u64) -> String {
    match parameters {
        0..1_000_000_000 => format!("{:.2} M", parameters as f64 / 1e6),
        _ => format!("{:.2} B", parameters as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::super::measure::Output;
    use bitnet_engine::roofline::Int8Peak;

    use super::*;

    const DECODE: Test = Test { tokens: 4, depth: 8, output: Some(Output::Greedy) };

    fn report(rows: Vec<Row>) -> Report {
        Report {
            model_filename: "a \"b\",c".into(),
            model_type: "bitnet I2_S".into(),
            model_size: 2_147_483_648,
            model_n_params: 2_500_000,
            backends: "CPU",
            load_ns: 1_500_000_000,
            first_token_ns: 2_000_000_000,
            first_token_n_prompt: 512,
            peak_memory_bytes: Some(1_048_576),
            rows,
        }
    }

    fn text(report: &Report, format: OutputFormat) -> String {
        let mut out = Vec::new();
        report.write(&mut out, format).expect("memory");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn rates_are_those_of_the_samples() {
        // Four ids in 100 and 200 ms: 40 and 20 a second.
        let mut row = Row::new(&DECODE, 2, Isa::Scalar, KeyCache::F32, &[100_000_000, 200_000_000])
            .reading(1e9);
        assert_eq!((row.test.as_str(), row.avg_ts, row.avg_ns), ("tg4 @ d8", 30.0, 150e6));
        assert_eq!(row.rate(), "30.00 ± 14.14");
        assert_eq!((row.n_prompt, row.n_gen, row.n_depth), (0, 4, 8));
        row.limit(Limits { bandwidth: 60e9, peak: None });
        assert_eq!(row.roofline, Some(0.5), "30 GB/s of 60");
        let prompt = Test { output: None, ..DECODE };
        let mut row = Row::new(&prompt, 1, Isa::Scalar, KeyCache::F32, &[1_000_000_000])
            .multiplying(Some(10));
        let peak = Int8Peak { macs_per_second: 80.0, instruction: "x" };
        row.limit(Limits { bandwidth: 1.0, peak: Some(peak) });
        assert_eq!((row.rate().as_str(), row.roofline), ("4.00", Some(0.5)));
        let mut floats = row.multiplying(None);
        floats.limit(Limits { bandwidth: 1.0, peak: Some(peak) });
        assert_eq!(floats.roofline, None, "matrices of floats have no int8 limit");
    }

    #[test]
    fn the_table_has_llama_bench_s_columns() {
        let row = Row::new(&DECODE, 2, Isa::Scalar, KeyCache::F32, &[100_000_000]);
        let table = "\
| model       |     size | params | backend    | threads |     test |   t/s | roofline |
| ----------- | -------: | -----: | ---------- | ------: | -------: | ----: | -------: |
| bitnet I2_S | 2.00 GiB | 2.50 M | CPU scalar |       2 | tg4 @ d8 | 40.00 |        - |

Loaded in 1.500 s; the first token behind 512 ids came after 2.000 s, loading included.
Peak memory 1.00 MiB, mapped file included.
";
        assert_eq!(text(&report(vec![row]), OutputFormat::Md), table);
    }

    #[test]
    fn keys_of_another_type_have_a_column() {
        let row = Row::new(&DECODE, 2, Isa::Scalar, KeyCache::Q8_0, &[100_000_000]);
        let table = "\
| model       |     size | params | backend    | threads | type_k |     test |   t/s | roofline |
| ----------- | -------: | -----: | ---------- | ------: | -----: | -------: | ----: | -------: |
| bitnet I2_S | 2.00 GiB | 2.50 M | CPU scalar |       2 |   q8_0 | tg4 @ d8 | 40.00 |        - |
";
        let text = text(&report(vec![row]), OutputFormat::Md);
        assert!(text.starts_with(table), "{text}");
    }

    #[test]
    fn csv_and_json_have_the_same_fields() {
        let row = Row::new(&DECODE, 2, Isa::Scalar, KeyCache::F32, &[100_000_000]);
        let report = report(vec![row]);
        let lines = text(&report, OutputFormat::Jsonl);
        let object: Json = serde_json::from_str(lines.trim_end()).expect("an object");
        let mut keys: Vec<&str> =
            object.as_object().expect("an object").keys().map(|k| &**k).collect();
        keys.retain(|key| !key.starts_with("samples_"));
        let mut columns = COLUMNS.to_vec();
        columns.sort_unstable();
        keys.sort_unstable();
        assert_eq!(keys, columns);
        let csv = text(&report, OutputFormat::Csv);
        let (head, line) = csv.split_once('\n').expect("two lines");
        assert_eq!(head, COLUMNS.join(","));
        let start = "\"a \"\"b\"\",c\",\"bitnet I2_S\",2147483648,2500000,\"CPU\",\"scalar\",2,\"f32\",\"tg4 @ d8\",0,4,8,";
        assert!(line.starts_with(start), "{line}");
        let array: Json =
            serde_json::from_str(&text(&report, OutputFormat::Json)).expect("an array");
        assert_eq!(array, Json::Array(vec![object]));
    }
}
