//! `bitnet quantize`: the file, what is printed of it, and what is refused without a trace.

use bitnet_engine::exit::Exit;
use bitnet_engine::gguf::{Directory, TensorType};
use serde_json::Value;

use crate::program::{Models, call};
use crate::synthetic::{self, TINY};

/// A configuration for the shapes of the tiny model.
fn configuration(models: &Models) -> String {
    let shapes = [(256, 256), (128, 256), (768, 256), (256, 768)];
    let section =
        |(i, (m, k))| format!("[Kernels_{i}]\nm = {m}\nk = {k}\nbm = 64\nbk = 96\nbmm = 32\n\n");
    let text: String = shapes.into_iter().enumerate().map(section).collect();
    models.file("kernel_config.ini", text.as_bytes())
}

fn model() -> (Models, String) {
    let models = Models::new();
    let path = models.file("i2_s.gguf", &synthetic::bytes(&TINY));
    (models, path)
}

#[test]
fn a_model_in_tl2_computes_the_same_and_comes_back_the_same() {
    let (models, path) = model();
    let (tiles, tl2, back) =
        (configuration(&models), models.text_of("tl2.gguf"), models.text_of("back.gguf"));
    let args = ["quantize", &path, &tl2, "--type", "tl2", "--output-tl-config", &tiles];
    let ended = call(&args).with(Exit::Ok);
    let file_bytes = std::fs::metadata(&tl2).unwrap().len();
    let (old, new) = (std::fs::read(&path).unwrap(), std::fs::read(&tl2).unwrap());
    let sum = |bytes: &[u8]| -> usize {
        Directory::parse(bytes).unwrap().tensors().iter().map(|t| t.size).sum()
    };
    let truth = format!(
        "tensors  14 converted, most to TL2; 10 as they are\nbytes    {} before, {} after\nfile     \
         {file_bytes} bytes\nloss     none: all weights and scales are the same\n",
        sum(&old),
        sum(&new)
    );
    assert_eq!((ended.out, ended.err), (truth, format!("writing '{tl2}'\n")));
    let logits = |flags: &[&str]| {
        let args = ["logits", "-p", "The quick brown fox", "--all", "--format", "json"];
        call(&[&args[..], flags].concat()).with(Exit::Ok).out
    };
    assert_eq!(logits(&["-m", &tl2, "--tl-config", &tiles]), logits(&["-m", &path]));
    let refused = call(&["logits", "-m", &tl2, "-p", "x"]).with(Exit::ModelLoad).err;
    let next =
        "\n  next: the same command with --tl-config and the kernel_config.ini of the file's";
    assert!(refused.contains(next), "{refused}");
    let args = ["quantize", &tl2, &back, "--type", "I2_S", "--tl-config", &tiles, "-q"];
    assert_eq!(call(&args).with(Exit::Ok).err, "");
    assert!(std::fs::read(&back).unwrap() == old);
}

#[test]
fn json_says_what_became_of_each_tensor() {
    let (models, path) = model();
    let out = models.text_of("q.gguf");
    let types = ["--type", "TQ2_0", "--token-embedding-type", "q6_k", "--format", "json"];
    let report = |flags: &[&str]| -> Value {
        let ended = call(&[&["quantize", &path, &out], &types[..], flags].concat());
        let out = ended.with(Exit::Ok).out;
        assert_eq!(out.lines().count(), 1);
        serde_json::from_str(&out).expect("an object")
    };
    let plan = report(&["--dry-run"]);
    assert!(!models.place("q.gguf").exists(), "a dry run writes nothing");
    assert_eq!((&plan["dry_run"], &plan["file_bytes"]), (&true.into(), &Value::Null));
    let done = report(&[]);
    let bytes = std::fs::read(&out).unwrap();
    assert_eq!(done["file_bytes"], bytes.len());
    assert_eq!((&done["type"], &done["output"]), (&"TQ2_0".into(), &out.as_str().into()));
    assert_eq!(done["bytes_after"], plan["bytes_after"]);
    let directory = Directory::parse(&bytes).unwrap();
    let tensors = done["tensors"].as_array().unwrap();
    assert_eq!(tensors.len(), directory.tensors().len());
    for (said, tensor) in tensors.iter().zip(directory.tensors()) {
        assert_eq!(
            (&said["name"], &said["to"]),
            (&(*tensor.name).into(), &tensor.tensor_type.name().into())
        );
        assert_eq!(said["bytes_after"], tensor.size);
        match tensor.tensor_type {
            TensorType::F32 => assert_eq!(said["loss"], "none"),
            TensorType::Q6K => assert_eq!(said["loss"], "rounded"),
            // Whether f16 holds a scale is the synthetic model's chance.
            _ => assert!(
                said["loss"] == "none" || said["loss"]["scale"].as_f64().is_some_and(|c| c < 5e-4)
            ),
        }
    }
}

#[test]
fn a_dry_run_lists_types_and_sizes() {
    let (_models, path) = model();
    let out = call(&["quantize", &path, "--type", "q8_0", "--dry-run"]).with(Exit::Ok).out;
    assert_eq!(out.lines().count(), 24 + 3);
    let line = "  blk.0.attn_q.weight               [256, 256]        I2_S   to Q8_0           16416        \
                69632\n";
    assert!(out.contains(line), "{out}");
    assert!(
        out.contains("[256]             F32    as it is           1024         1024\n"),
        "{out}"
    );
    let end = "tensors  15 converted, most to Q8_0; 9 as they are\n";
    assert!(out.contains(end), "{out}");
    assert!(out.ends_with("whether matrices are ternary was not looked at\n"), "{out}");
}

#[test]
fn a_refusal_leaves_no_file_and_names_the_flag() {
    let models = Models::new();
    let q4 = models.text_of("q4.gguf");
    let path = models.path();
    call(&["quantize", &path, &q4, "--type", "q4_0"]).with(Exit::Ok);
    let out = models.file("kept.gguf", b"kept");
    // Q4_0 has more steps on one side of 0 than on the other: what was ternary is so no more.
    let args = ["quantize", &q4, &out, "--type", "i2_s"];
    let ended = call(&args).with(Exit::Usage);
    let words = "error: tensor 'blk.0.ffn_down.weight' is not ternary: ";
    assert!(ended.err.contains(words), "{}", ended.err);
    assert!(ended.err.ends_with("or allow the loss (--allow-lossy)\n"), "{}", ended.err);
    assert_eq!((ended.out.as_str(), std::fs::read(&out).unwrap()), ("", b"kept".to_vec()));
    let names = std::fs::read_dir(models.folder.path()).unwrap().count();
    assert_eq!(names, 3, "nothing is left behind");
    let ended = call(&[&args[..], &["--allow-lossy"]].concat()).with(Exit::Ok);
    assert!(
        ended.out.contains("loss     'blk.0.ffn_down.weight' was not ternary: "),
        "{}",
        ended.out
    );

    let ended = call(&["quantize", &path, &path, "--type", "f16"]).with(Exit::Usage);
    assert_eq!(ended.err, format!("error: '{path}' is the file to read; name another to write\n"));
    let ended = call(&["quantize", &path, &q4, "--type", "tl1"]).with(Exit::Usage);
    assert!(ended.err.ends_with("were generated with (--output-tl-config)\n"), "{}", ended.err);
    let ended = call(&["quantize", &path, "--type", "q3_k", "--dry-run"]).with(Exit::Usage);
    assert!(
        ended.err.contains("[possible values: I2_S, TQ1_0, TQ2_0, TL1, TL2, Q8_0"),
        "{}",
        ended.err
    );
    let ended = call(&["quantize", &path, "--type", "f16"]).with(Exit::Usage);
    assert!(ended.err.contains("<OUTPUT>"), "{}", ended.err);
    let args = ["quantize", &path, "--type", "f16", "--output-type", "q6_k", "--dry-run"];
    let ended = call(&args).with(Exit::Usage);
    let words = "error: a type is asked for 'output.weight', but the file has no such tensor";
    assert!(ended.err.starts_with(words), "{}", ended.err);
}
