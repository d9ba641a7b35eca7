//! Gets the bytes of one model: source after source, attempt after attempt, going on where the last
//! one stopped. Takes nothing for the file whose hash is not the pinned one.

use std::thread::sleep;

use super::disk::Disk;
use super::error::Cause;
use super::options::FetchOptions;
use super::partial::Partial;
use super::progress::{Progress, Voice};
use super::receive::{End, Sink, receive};
use super::room::Room;
use super::sources::{self, Failure, Kind, Opened, Source};
use super::transport::Transport;
use super::tries::Tries;
use super::{LockedModel, hub, trouble};

/// A model on its way into `room`, whose lock is held.
pub(super) struct Download<'a> {
    pub disk: &'a dyn Disk,
    pub room: &'a Room,
    pub model: &'a LockedModel,
    pub options: &'a FetchOptions,
    pub voice: Voice<'a>,
}

impl Download<'_> {
    /// Puts the file in its place; gives the source in words.
    pub(super) fn run(&self) -> Result<String, Cause> {
        let mut partial = Partial::open(self.disk, self.room, self.model.bytes, self.voice)?;
        if partial.is_complete() {
            if partial.digest() == self.model.sha256 {
                partial.finish()?;
                return Ok("what an earlier run had left".to_owned());
            }
            partial.remove()?;
        }
        self.room.check_space(self.disk, self.model.bytes - partial.len())?;
        let source = self.try_all(&mut partial);
        (self.voice.hear)(Progress::Done(self.voice.id));
        let source = source?;
        partial.finish()?;
        Ok(source)
    }

    /// Fills `partial` from the first source that has the right bytes.
    fn try_all(&self, partial: &mut Partial<'_>) -> Result<String, Cause> {
        let mut sources = sources::of(self.model, self.options)?;
        if self.options.offline {
            sources.retain(Source::is_local);
        }
        let transport = Transport::new(self.options);
        let mut last = None;
        let mut sources = sources.into_iter().peekable();
        while let Some(source) = sources.next() {
            partial.change_source();
            let why = match self.try_one(&source, &transport, partial) {
                Ok(()) => return Ok(source.shown),
                Err(Failure::Local(cause)) => return Err(cause),
                Err(Failure::Transient(why, _) | Failure::Final(why)) => why,
            };
            if sources.peek().is_some() || self.options.offline {
                self.voice.warn(&format!("{}: {why}", source.shown));
            }
            last = Some(Cause::Source { source_name: source.shown, why });
        }
        match last {
            Some(cause) if !self.options.offline => Err(cause),
            _ => Err(Cause::Offline {
                id: self.model.id.clone(),
                origin: sources::describe(self.model),
                place: self.room.file(),
            }),
        }
    }

    fn try_one(
        &self,
        source: &Source,
        transport: &Transport<'_>,
        partial: &mut Partial<'_>,
    ) -> Result<(), Failure> {
        let mut tries = Tries::new(partial.len());
        let mut asked = false;
        let mut text = None;
        loop {
            match self.attempt(source, transport, partial, &mut asked, &mut text) {
                Ok(()) if partial.digest() == self.model.sha256 => return Ok(()),
                Ok(()) => {
                    let found = partial.digest();
                    let foreign = partial.has_foreign();
                    partial.remove()?;
                    if !foreign {
                        return Err(Failure::Final(self.mismatch(&found, text.as_deref())));
                    }
                    // What was here before may be what is wrong.
                    let what = "the bytes kept from before do not fit; fetching all of them";
                    self.voice.warn(&format!("{}: {what}", source.shown));
                }
                Err(Failure::Transient(cause, asked_for)) => {
                    let wait = tries.failed(partial.len(), asked_for).ok_or_else(|| {
                        Failure::Final(format!(
                            "{cause}; {} attempts in a row failed, run the command again to go on",
                            Tries::MOST
                        ))
                    })?;
                    (self.voice.hear)(Progress::Retrying {
                        id: self.voice.id,
                        cause: &format!("{}: {}", source.shown, trouble::without_hint(&cause)),
                        attempt: tries.next(),
                        of: Tries::MOST,
                        wait,
                    });
                    sleep(wait);
                }
                Err(other) => return Err(other),
            }
        }
    }

    fn mismatch(&self, found: &str, text: Option<&str>) -> String {
        let kind = text.map_or_else(String::new, |kind| format!(", of type {kind},"));
        format!(
            "the bytes{kind} have sha256 {found}, but models.toml pins {}; they were deleted. Correct \
             the source or the sha256 in models.toml",
            self.model.sha256
        )
    }

    /// One request, and what comes of it: `Ok` if all bytes are here. `asked` is whether the hub has
    /// said already that it has the right file; `text` becomes the type of a body that is no model.
    fn attempt(
        &self,
        source: &Source,
        transport: &Transport<'_>,
        partial: &mut Partial<'_>,
        asked: &mut bool,
        text: &mut Option<String>,
    ) -> Result<(), Failure> {
        let bytes = self.model.bytes;
        let range = (partial.len(), bytes);
        let etag = partial.etag(&source.origin);
        let mut opened = match &source.kind {
            Kind::File(path) => sources::open_file(path, partial.len(), bytes)?,
            Kind::Http(url) => transport.open(url, None, range, etag)?,
            Kind::Hub { url, page } => {
                if !*asked {
                    hub::check(transport, self.model, url, page)?;
                    *asked = true;
                }
                transport.open(url, Some(page), range, etag)?
            }
        };
        text.clone_from(&opened.text);
        if opened.start != partial.len() {
            partial.restart()?;
        }
        partial.begin(&source.origin, opened.etag.as_deref())?;
        let (id, from) = (self.voice.id, partial.len());
        (self.voice.hear)(Progress::Fetching { id, source: &source.shown, from, bytes });
        let end = self.pour(source, &mut opened, partial)?;
        match end {
            _ if partial.is_complete() && !matches!(end, End::TooLong) => Ok(()),
            End::TooLong => {
                partial.remove()?;
                let kind = opened.text.map_or_else(String::new, |kind| format!(" of {kind}"));
                Err(Failure::Final(format!(
                    "has more bytes{kind} than the {bytes} that models.toml pins"
                )))
            }
            End::Cut(error) => {
                Err(Failure::Transient(transport.cut(&error, opened.url.as_ref()), None))
            }
            End::TooSlow => {
                let seconds = self.options.stall.as_secs_f64();
                Err(Failure::Transient(format!("less than 1 KiB in {seconds} s"), None))
            }
            End::Ended | End::Full => {
                let ended = format!("ended after {} of {bytes} bytes", partial.len());
                match opened.text {
                    Some(kind) => {
                        // A page is no beginning of a model: nothing goes on from it.
                        partial.remove()?;
                        Err(Failure::Final(format!("{ended}, which are {kind}")))
                    }
                    None => Err(Failure::Transient(ended, None)),
                }
            }
        }
    }

    /// Lets the bytes of `opened` flow into `partial`.
    fn pour(
        &self,
        source: &Source,
        opened: &mut Opened,
        partial: &mut Partial<'_>,
    ) -> Result<End, Failure> {
        let (id, bytes, from) = (self.voice.id, self.model.bytes, partial.len());
        let written = |new| (self.voice.hear)(Progress::Received(id, from + new, bytes));
        let window = (!source.is_local()).then_some(self.options.stall);
        let Some((file, hasher)) = partial.sink() else { return Ok(End::Ended) };
        let sink = Sink { disk: self.disk, file, hasher, written: &written };
        match receive(&mut opened.body, sink, bytes - from, window) {
            Ok((new, end)) => {
                partial.grown(new);
                Ok(end)
            }
            Err(error) => Err(Failure::Local(partial.failed(error))),
        }
    }
}
