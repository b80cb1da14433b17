//! What only Docker's API has: building from a Dockerfile, and giving images out again. It never touches the user's tags.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{self, Read};

use bollard::errors::Error as Refusal;
use bollard::query_parameters as query;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use xedge_model::Platform;

use super::{Docker, LOAD_TIMEOUT, pipe};
use crate::Error;

/// Lines of a failed build that are kept.
const TAIL: usize = 20;

/// A build by the Engine's own builder.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// The Dockerfile's name in the context.
    pub dockerfile: String,
    /// The stage to build; the last if there is none.
    pub target: Option<String>,
    /// Values of `ARG`.
    pub args: BTreeMap<String, String>,
    /// Platform of the result.
    pub platform: Platform,
    /// Whether steps of earlier builds may be used again.
    pub cached: bool,
}

/// What is told while a build goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildProgress<'a> {
    /// A step begins: `Step 3/5 : RUN make`.
    Step(&'a str),
    /// A step left an image, by the beginning of its id. It stays in the Engine when a later step fails.
    Image(&'a str),
}

/// How a build ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildEnd {
    /// The Engine has an image of this id.
    Image(String),
    /// The Dockerfile, or something that it runs, failed.
    Failed(BuildFailure),
}

/// A step that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildFailure {
    /// The step, `Step 3/5 : RUN false`; empty if it did not come to one.
    pub step: String,
    /// The builder's last lines.
    pub tail: Vec<String>,
    /// What the builder says.
    pub message: String,
}

impl Docker {
    /// Builds an image without a tag. `context` writes the tar archive of the context, the Dockerfile in it; `progress`
    /// is told each step, and each image that a step left in the Engine. When this future is dropped, the Engine stops the build and removes its container.
    pub async fn build_image(
        &self,
        request: &BuildRequest,
        context: impl FnOnce(&mut dyn io::Write) -> io::Result<()> + Send + 'static,
        progress: impl Fn(BuildProgress<'_>),
    ) -> Result<BuildEnd, Error> {
        let (stream, writer) = pipe::written(context);
        let client = self.client.clone().with_timeout(LOAD_TIMEOUT);
        let answers = client.build_image(options(request), None, Some(bollard::body_try_stream(stream)));
        let mut output = Output::default();
        let mut answers = std::pin::pin!(answers);
        let mut refusal = None;
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(info) => {
                    if let Some(id) = info.aux.and_then(|aux| aux.id) {
                        output.id = Some(id);
                    }
                    if let Some(text) = info.stream {
                        output.take(&text, &progress);
                    }
                }
                Err(error) => refusal = Some(error),
            }
        }
        let written = writer.await.map_err(io::Error::other).and_then(|result| result);
        match (refusal, written) {
            // The context that could not be read is the cause, unless the Engine hung up first.
            (_, Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::Archive(error)),
            (Some(refusal), _) => self.refused(refusal, output),
            (None, _) => output.id.or(output.told).map(BuildEnd::Image).ok_or_else(|| Error::EngineLost {
                host: self.host.clone(),
                action: "build an image".to_owned(),
                detail: "it stopped answering before the image was done".to_owned(),
            }),
        }
    }

    /// Errors of the Dockerfile come inside of the stream, and those of its syntax as a bad request.
    fn refused(&self, refusal: Refusal, output: Output) -> Result<BuildEnd, Error> {
        let message = match refusal {
            Refusal::DockerStreamError { error } => error,
            Refusal::DockerResponseServerError { status_code: 400..=499, message } => message,
            Refusal::DockerResponseServerError { message, .. } if message.contains("ockerfile") => message,
            other => return Err(self.failed("build an image", other)),
        };
        let message = message.trim().to_owned();
        Ok(BuildEnd::Failed(BuildFailure { step: output.step, tail: output.tail.into(), message }))
    }

    /// Hands an image to blocking code as it streams out, in the form of `docker save`.
    pub async fn export_image<T: Send + 'static>(
        &self,
        image: &str,
        take: impl FnOnce(&mut dyn Read) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (sender, mut reader) = pipe::readable();
        let taker = tokio::task::spawn_blocking(move || take(&mut reader));
        let client = self.client.clone().with_timeout(LOAD_TIMEOUT);
        let mut stream = client.export_image(image);
        let mut refusal = None;
        loop {
            match stream.try_next().await {
                Ok(None) => break,
                // A reader that has all it wants hangs up.
                Ok(Some(chunk)) => {
                    if sender.send(Ok(chunk)).await.is_err() {
                        break;
                    }
                }
                Err(error) => {
                    // The reader must not take half an archive for a whole one.
                    let broken: io::Result<Bytes> = Err(io::Error::other(error.to_string()));
                    let _gone = sender.send(broken).await;
                    refusal = Some(error);
                    break;
                }
            }
        }
        drop(sender);
        let result = taker.await.map_err(|error| Error::Archive(io::Error::other(error)))?;
        match refusal {
            Some(error) => Err(self.failed(&format!("give out image {image}"), error)),
            None => Ok(result),
        }
    }

    /// The whole id of an image by a name or the beginning of its id.
    pub async fn image_id(&self, image: &str) -> Result<Option<String>, Error> {
        match self.client.inspect_image(image).await {
            Ok(found) => Ok(found.id),
            Err(error) if super::status(&error) == 404 => Ok(None),
            Err(error) => Err(self.failed(&format!("look for image {image}"), error)),
        }
    }

    /// Gives an image a tag of ours, `NAME:TAG`.
    pub async fn tag(&self, image: &str, name: &str, tag: &str) -> Result<(), Error> {
        let options = query::TagImageOptionsBuilder::default().repo(name).tag(tag).build();
        let tagged = self.client.tag_image(image, Some(options)).await;
        tagged.map_err(|e| self.failed(&format!("tag image {image}"), e))
    }

    /// The tags of a repository.
    pub async fn tags(&self, name: &str) -> Result<Vec<String>, Error> {
        let filters = HashMap::from([("reference".to_owned(), vec![name.to_owned()])]);
        let options = query::ListImagesOptionsBuilder::default().filters(&filters).build();
        let images = self.client.list_images(Some(options)).await;
        let images = images.map_err(|e| self.failed(&format!("list the tags of {name}"), e))?;
        let all = images.into_iter().flat_map(|image| image.repo_tags);
        // Podman calls what has no registry `localhost/NAME`.
        let tag = |reference: String| {
            let (repository, tag) = reference.rsplit_once(':')?;
            (repository.strip_prefix("localhost/").unwrap_or(repository) == name).then(|| tag.to_owned())
        };
        Ok(all.filter_map(tag).collect())
    }

    /// Takes a tag away again; the image stays.
    pub async fn untag(&self, reference: &str) -> Result<(), Error> {
        let options = query::RemoveImageOptionsBuilder::default().noprune(true).build();
        let removed = self.client.remove_image(reference, Some(options), None).await.map(drop);
        self.gone(removed, || format!("remove the tag {reference}"))
    }
}

fn options(request: &BuildRequest) -> query::BuildImageOptions {
    let args: HashMap<String, String> = request.args.clone().into_iter().collect();
    let options = query::BuildImageOptionsBuilder::default()
        .dockerfile(&request.dockerfile)
        .buildargs(&args)
        .platform(request.platform.as_str())
        .nocache(!request.cached)
        .rm(true)
        .forcerm(true);
    match &request.target {
        Some(target) => options.target(target).build(),
        None => options.build(),
    }
}

/// What the builder said so far.
#[derive(Default)]
struct Output {
    /// What the answers name apart from the text; Podman's may not.
    id: Option<String>,
    /// The last image that the text names; a program may say such a line too, but not as the last one.
    told: Option<String>,
    step: String,
    tail: VecDeque<String>,
}

impl Output {
    fn take(&mut self, text: &str, progress: &impl Fn(BuildProgress<'_>)) {
        for line in plain(text).lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            if is_step(line) {
                line.clone_into(&mut self.step);
                progress(BuildProgress::Step(line));
            }
            // What a step stands on was there before.
            if let Some(id) = image_of(line).filter(|_| !self.step.contains(": FROM ")) {
                progress(BuildProgress::Image(id));
            }
            if let Some(id) = line.strip_prefix("Successfully built ") {
                self.told = Some(id.to_owned());
            }
            if self.tail.len() == TAIL {
                self.tail.pop_front();
            }
            self.tail.push_back(line.to_owned());
        }
    }
}

/// The text without colours and other commands to a terminal: the Engine paints what programs say on stderr.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        let end = after.find(|c: char| c.is_ascii_alphabetic());
        rest = end.map_or("", |end| &after[end + 1..]);
    }
    plain + rest
}

/// `Step 3/5 : RUN …` (Docker) or `STEP 3/5: RUN …` (Podman), and nothing that a program may say.
fn is_step(line: &str) -> bool {
    let after = line.strip_prefix("Step ").or_else(|| line.strip_prefix("STEP "));
    let Some((numbers, _)) = after.and_then(|rest| rest.split_once(':')) else { return false };
    let numbers = numbers.trim_end();
    !numbers.is_empty() && numbers.chars().all(|c| c.is_ascii_digit() || c == '/')
}

/// ` ---> 0123456789ab`.
fn image_of(line: &str) -> Option<&str> {
    let id = line.strip_prefix(" ---> ")?;
    (id.len() >= 12 && id.chars().all(|c| c.is_ascii_hexdigit())).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::{BuildProgress, Output, TAIL, plain};

    #[test]
    fn commands_to_a_terminal_are_taken_out() {
        assert_eq!(plain("\x1b[91mError\x1b[0m: x\x1b["), "Error: x");
    }

    #[test]
    fn steps_are_told_and_the_last_lines_kept() {
        let mut output = Output::default();
        let told = std::cell::RefCell::new(Vec::new());
        let progress = |told_now: BuildProgress<'_>| told.borrow_mut().push(format!("{told_now:?}"));
        output.take("Step 1/2 : FROM scratch\n ---> \n", &progress);
        output.take(" ---> 0123456789ab\n", &progress);
        for number in 0..30 {
            output.take(&format!("Step by step {number}\n"), &progress);
        }
        output.take("Step 2/2 : RUN false\n", &progress);
        assert_eq!(*told.borrow(), [r#"Step("Step 1/2 : FROM scratch")"#, r#"Step("Step 2/2 : RUN false")"#]);
        assert_eq!((output.step.as_str(), output.tail.len()), ("Step 2/2 : RUN false", TAIL));
        assert_eq!(output.tail.back().unwrap(), "Step 2/2 : RUN false");
        output.take(" ---> Running in 0123456789ab\n ---> ba9876543210\n", &progress);
        assert_eq!(told.borrow()[2..], [r#"Image("ba9876543210")"#]);
    }
}
