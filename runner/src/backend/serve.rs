//! The worker's side of the protocol: the loop inside a worker binary. It judges nothing and keeps
//! nothing between requests: the backend does.

use std::io::{self, Read, Write};

use super::protocol::{
    Answer, Array, FrameError, FrameReader, PAYLOAD_CAP, Request, TensorHead, build_id,
    encode_head, write_frame,
};
use super::{Backend, BackendError, OpenRequest, Timed, TokenizeOptions};

/// Answers the requests on `input` until it ends or says `bye`.
///
/// An `Err` of the backend is an answer. A panic is not caught: the process ends with its message
/// on standard error, which the runner reports.
///
/// # Errors
/// Those of the streams, and [`io::ErrorKind::InvalidData`] for bytes that are no request; the
/// runner is told before.
pub fn serve(
    backend: &mut dyn Backend,
    input: impl Read,
    mut output: impl Write,
) -> io::Result<()> {
    let mut requests = FrameReader::new(input);
    loop {
        let message = match requests.read::<Request>(PAYLOAD_CAP) {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(()),
            Err(FrameError::Io(error)) => return Err(error),
            Err(error) => {
                // The stream is out of step, and the number of the request is not known.
                send(&mut output, 0, refused(error.to_string()), &[])?;
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        };
        let last = message.body == Request::Bye {};
        let (answer, arrays) = answer(backend, message.body, message.arrays)
            .unwrap_or_else(|error| (failure(error), Vec::new()));
        send(&mut output, message.id, answer, &arrays)?;
        if last {
            return Ok(());
        }
    }
}

/// The whole of a worker's `main`: keeps standard output for frames, makes the backend, serves.
///
/// The backend is made after standard output has been pointed at standard error, so that whatever
/// its libraries print lands in the log and not between frames. The process also ends when its
/// parent is gone: at the next read, or within a second where it is computing.
///
/// # Errors
/// Those of [`serve`], and of duplicating standard output.
pub fn serve_stdio<B: Backend>(make: impl FnOnce() -> B) -> io::Result<()> {
    let output = claim_stdout()?;
    #[cfg(unix)]
    end_with_parent();
    serve(&mut make(), io::stdin().lock(), output)
}

/// Takes standard output for frames; from now on descriptor 1 is standard error.
///
/// # Errors
/// Those of duplicating a descriptor.
#[cfg(unix)]
pub fn claim_stdout() -> io::Result<std::fs::File> {
    use std::os::fd::AsFd;

    io::stdout().flush()?;
    let frames = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(frames.into())
}

/// Takes standard output for frames. Where there is no `dup2`, a library that prints to standard
/// output breaks the protocol, which the runner reports with what was printed.
///
/// # Errors
/// None here.
#[cfg(not(unix))]
pub fn claim_stdout() -> io::Result<io::Stdout> {
    Ok(io::stdout())
}

/// Kills this process once its parent has changed, for a parent that was killed cannot kill its
/// workers, and a worker in an endless loop never reads the end of its input.
///
/// Polled, because Linux's `PR_SET_PDEATHSIG` fires when the *thread* that spawned the worker
/// ends, and test threads end before the run does.
#[cfg(unix)]
fn end_with_parent() {
    use std::os::unix::process::parent_id;
    use std::time::Duration;

    let parent = parent_id();
    std::thread::spawn(move || {
        while parent_id() == parent {
            std::thread::sleep(Duration::from_secs(1));
        }
        // Not `exit`: C++ destructors must not run beside a computing thread.
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    });
}

fn send(output: &mut impl Write, id: u64, answer: Answer, arrays: &[Array]) -> io::Result<()> {
    match encode_head(id, &answer, arrays) {
        Ok(head) => write_frame(output, &head, arrays),
        Err(error) => {
            let answer = refused(format!("the answer does not fit: {error}"));
            let head = encode_head(id, &answer, &[]).map_err(io::Error::other)?;
            write_frame(output, &head, &[])
        }
    }
}

fn answer(
    backend: &mut dyn Backend,
    request: Request,
    arrays: Vec<Array>,
) -> Result<(Answer, Vec<Array>), BackendError> {
    let name = request.name();
    match request {
        Request::Hello {} => {
            let [] = exactly(name, arrays)?;
            let identity = backend.identity().clone();
            Ok((Answer::Hello { identity, build: build_id() }, Vec::new()))
        }
        Request::Open { model, context, threads, isa } => {
            let [] = exactly(name, arrays)?;
            let threads = size(threads)?;
            let request = OpenRequest { threads, isa, ..OpenRequest::new(model, size(context)?) };
            let facts = backend.open(&request)?;
            let opened = Answer::Opened {
                vocab_size: facts.vocab_size as u64,
                context_length: facts.context_length as u64,
                bos: facts.bos,
                eos: facts.eos,
            };
            Ok((opened, Vec::new()))
        }
        Request::Tokenize { add_special, parse_special } => {
            let [text] = exactly(name, arrays)?;
            let Array::U8(bytes) = text else { return Err(wrong_array(name, "u8", &text)) };
            let text = String::from_utf8(bytes)
                .map_err(|error| BackendError::Refused(format!("the text is no UTF-8: {error}")))?;
            let ids = backend.tokenize(&text, TokenizeOptions { add_special, parse_special })?;
            Ok((Answer::Ids {}, vec![Array::U32(ids)]))
        }
        Request::Detokenize {} => {
            let text = backend.detokenize(&only_ids(name, arrays)?)?;
            Ok((Answer::Text {}, vec![Array::U8(text)]))
        }
        Request::Logits { feed } => {
            let logits = backend.logits(&only_ids(name, arrays)?, feed)?;
            let answer = Answer::Logits { vocab_size: logits.vocab_size as u64 };
            Ok((answer, vec![Array::F32(logits.values)]))
        }
        Request::Generate { steps } => {
            let generation = backend.generate(&only_ids(name, arrays)?, size(steps)?)?;
            let answer = Answer::Generation { vocab_size: generation.logits.vocab_size as u64 };
            let arrays = vec![
                Array::U32(generation.ids),
                Array::F32(generation.logits.values),
                Array::U64(generation.nanos),
            ];
            Ok((answer, arrays))
        }
        Request::Tap { names } => {
            let tensors = backend.tap(&only_ids(name, arrays)?, &names)?;
            let (tensors, arrays) = tensors
                .into_iter()
                .map(|tensor| {
                    let head = TensorHead {
                        name: tensor.name,
                        occurrence: tensor.occurrence as u64,
                        shape: tensor.shape.map(|extent| extent as u64),
                    };
                    (head, Array::F32(tensor.values))
                })
                .unzip();
            Ok((Answer::Tensors { tensors }, arrays))
        }
        Request::Prefill { repeats } => {
            Ok(timed(backend.time_prefill(&only_ids(name, arrays)?, size(repeats)?)?))
        }
        Request::Decode { depth, output } => {
            Ok(timed(backend.time_decode(&only_ids(name, arrays)?, size(depth)?, output)?))
        }
        Request::Bye {} => {
            let [] = exactly(name, arrays)?;
            Ok((Answer::Bye {}, Vec::new()))
        }
    }
}

fn timed(timed: Timed) -> (Answer, Vec<Array>) {
    let Timed { ids, nanos, kernels } = timed;
    (Answer::Timed { kernels }, vec![Array::U32(ids), Array::U64(nanos)])
}

fn exactly<const N: usize>(name: &str, arrays: Vec<Array>) -> Result<[Array; N], BackendError> {
    arrays.try_into().map_err(|arrays: Vec<Array>| {
        BackendError::Refused(format!("`{name}` takes {N} arrays, got {}", arrays.len()))
    })
}

fn only_ids(name: &str, arrays: Vec<Array>) -> Result<Vec<u32>, BackendError> {
    match exactly(name, arrays)? {
        [Array::U32(ids)] => Ok(ids),
        [other] => Err(wrong_array(name, "u32", &other)),
    }
}

fn wrong_array(name: &str, expected: &str, got: &Array) -> BackendError {
    let got = got.element();
    BackendError::Refused(format!("`{name}` takes a {expected} array, got {got:?}"))
}

fn size(value: u64) -> Result<usize, BackendError> {
    usize::try_from(value)
        .map_err(|_| BackendError::Refused(format!("{value} is too large for this machine")))
}

fn refused(message: String) -> Answer {
    Answer::Refused { message }
}

fn failure(error: BackendError) -> Answer {
    match error {
        BackendError::Unavailable { what, remedy } => Answer::Unavailable { what, remedy },
        error => refused(error.to_string()),
    }
}
