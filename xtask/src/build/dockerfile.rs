//! Images that a container engine builds from a Dockerfile: by its own builder, or by buildx where that is there. The
//! result is taken over like an archive of somebody else's. It is not reproducible, so it is made anew only when what it
//! is made from has changed. Never touches the user's tags.

mod buildx;
mod context;
mod error;
mod finish;
mod ignore;
mod leaks;
mod stand;
mod syntax;
mod temporary;

use std::cell::RefCell;
use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde_json::json;
use xedge_model::image::DockerfileBuild;
use xedge_model::{Digest, Platform};
use xedge_oci::Layout;
use xedge_oci::config::Execution;
use xedge_oci::import::Imported;
use xedge_sim::{BuildEnd, BuildProgress, BuildRequest, Docker, Engine};

use super::Made;
use super::inputs::Inputs;
use crate::commands::{Context, host_platform};
use crate::engine;
use crate::error::{Failed, Result, read_text};
use crate::locks::Mode;
use crate::project::ImageSource;
use crate::setup::{self, Surroundings};
use error::Error;
use finish::Facts;
use stand::Bases;
use syntax::Dockerfile;

pub(crate) use finish::{LEAKS, REPRODUCIBLE};
pub(crate) use ignore::Ignore;
pub(crate) use temporary::untag_dead;

/// Files in an image's folder that this tool writes: no part of what a build sees.
const OURS: [&str; 2] = ["image.yaml", "image.lock.json"];
/// Outputs of this tool in the project's folder.
const OUTPUTS: &str = "target/xedge";

/// Builds an image for these platforms, one after the other, after the images of the project that it stands on.
pub(super) async fn manifests(
    cx: &Context<'_>,
    image: &ImageSource,
    build: &DockerfileBuild,
    platforms: &[Platform],
    mode: Mode,
    layout: &Layout,
) -> Result<BTreeMap<Platform, Made>> {
    let job = Job::new(cx, image, build)?;
    let bases = stand::bases(cx, &job, platforms, mode).await?;
    let mut done = BTreeMap::new();
    for platform in platforms {
        done.insert(*platform, manifest(cx, &job, &bases, *platform, layout).await?);
    }
    Ok(done)
}

/// What one image is built from; the same for every platform but for names that depend on it.
struct Job<'a> {
    image: &'a ImageSource,
    build: &'a DockerfileBuild,
    /// The Dockerfile, absolute.
    file: Utf8PathBuf,
    text: String,
    folder: Utf8PathBuf,
    ignore: String,
    secrets: BTreeMap<String, Utf8PathBuf>,
    /// The version of buildx; without it the Engine's own builder builds.
    buildx: Option<String>,
}

impl<'a> Job<'a> {
    fn new(cx: &Context<'_>, image: &'a ImageSource, build: &'a DockerfileBuild) -> Result<Self> {
        let folder = inside(cx, image, &image.folder.join(&build.context), "context")?;
        let file = inside(cx, image, &folder.join(&build.file), "file")?;
        refuse_content(image)?;
        let root = cx.project.root();
        let secrets: BTreeMap<String, Utf8PathBuf> =
            build.secrets.iter().map(|(id, path)| (id.clone(), root.join(path))).collect();
        let ignore_files = [Utf8PathBuf::from(format!("{file}.dockerignore")), folder.join(".dockerignore")];
        let ignore = ignore_files.iter().find(|file| file.is_file()).map(|file| read_text(file));
        let job = Self {
            image,
            build,
            text: read_text(&file)?,
            file,
            folder,
            ignore: ignore.transpose()?.unwrap_or_default(),
            secrets,
            buildx: buildx::version(),
        };
        job.check_secrets()?;
        Ok(job)
    }

    /// The Engine's own builder knows no secrets: it would put them into a layer, or fail late.
    fn check_secrets(&self) -> Result<()> {
        let mount = self.dockerfile(Platform::LinuxAmd64).mount;
        let needs = match (self.build.secrets.is_empty(), mount) {
            (false, _) => Some("its `secrets` need".to_owned()),
            (true, Some(line)) => Some(format!("`RUN --mount` in line {line} needs")),
            (true, None) => None,
        };
        if let (Some(needs), None) = (needs, &self.buildx) {
            let hint = "install docker's buildx plugin, which speaks to BuildKit: `docker buildx version`";
            return Err(self.refused(
                &format!("{needs} BuildKit, and this machine has the Engine's own builder only"),
                hint,
            ));
        }
        match self.secrets.iter().find(|(_, path)| !path.is_file()) {
            Some((id, path)) => {
                let reason = format!("there is no file {path} for the secret {id}");
                Err(self.refused(&reason, "paths of secrets are relative to the project's folder"))
            }
            None => Ok(()),
        }
    }

    fn refused(&self, reason: &str, hint: &str) -> Failed {
        definition(self.image, reason, hint)
    }

    fn dockerfile(&self, platform: Platform) -> Dockerfile {
        Dockerfile::parse(&self.text, &self.values(platform))
    }

    /// Values of arguments as the builder has them, with the ones that it sets itself.
    fn values(&self, platform: Platform) -> BTreeMap<String, String> {
        let host = host_platform().unwrap_or(platform);
        let mut values = BTreeMap::from([
            ("TARGETPLATFORM".to_owned(), platform.to_string()),
            ("TARGETOS".to_owned(), "linux".to_owned()),
            ("TARGETARCH".to_owned(), platform.oci_architecture().to_owned()),
            // Named only where the platform's own name has one.
            ("TARGETVARIANT".to_owned(), platform.as_str().split('/').nth(2).unwrap_or_default().to_owned()),
            ("BUILDPLATFORM".to_owned(), host.to_string()),
            ("BUILDOS".to_owned(), "linux".to_owned()),
            ("BUILDARCH".to_owned(), host.oci_architecture().to_owned()),
        ]);
        values.extend(self.build.args.clone());
        values
    }

    fn context(&self, cx: &Context<'_>) -> context::Context {
        context::Context::new(self.folder.clone(), &self.ignore, self.ours(cx))
    }

    /// Paths in the context that are ours.
    fn ours(&self, cx: &Context<'_>) -> Vec<String> {
        let files = OURS.iter().map(|name| self.image.folder.join(name));
        let all = files.chain([cx.project.root().join(OUTPUTS)]);
        all.filter_map(|path| Some(path.strip_prefix(&self.folder).ok()?.to_string())).collect()
    }
}

fn definition(image: &ImageSource, reason: &str, hint: &str) -> Failed {
    let (image, reason, hint) = (image.def.name.clone(), reason.to_owned(), hint.to_owned());
    Error::Definition { image, reason, hint }.into()
}

/// A path of image.yaml, which must be there and must not lead out of the project.
fn inside(cx: &Context<'_>, image: &ImageSource, path: &Utf8PathBuf, what: &str) -> Result<Utf8PathBuf> {
    let shown = cx.project.relative(path);
    let missing = || {
        definition(image, &format!("there is no {shown}, its `{what}`"), &format!("make it: `ls {shown}`"))
    };
    let real = path.canonicalize_utf8().map_err(|_| missing())?;
    let root = cx.project.root().canonicalize_utf8().map_err(|_| missing())?;
    if let Ok(below) = real.strip_prefix(&root) {
        // Named below the root as the project has it, so that paths compare.
        return Ok(cx.project.root().join(below));
    }
    let reason = format!("its `{what}`, {real}, is outside of the project");
    let hint = format!("move it below {root}, or import a finished image: `cargo xtask image import`");
    Err(definition(image, &reason, &hint))
}

/// What assembled images have; here the Dockerfile does it.
fn refuse_content(image: &ImageSource) -> Result<()> {
    let def = &image.def;
    let has = [
        (!def.users.is_empty(), "users"),
        (!def.directories.is_empty(), "directories"),
        (!def.payloads.is_empty(), "payloads"),
    ];
    match has.iter().find(|(is_set, _)| *is_set) {
        Some((_, key)) => {
            Err(definition(image, &format!("`{key}` is for assembled images"), "do it in the Dockerfile"))
        }
        None => Ok(()),
    }
}

async fn manifest(
    cx: &Context<'_>,
    job: &Job<'_>,
    bases: &Bases,
    platform: Platform,
    layout: &Layout,
) -> Result<Made> {
    let inputs = inputs(cx, job, bases, platform)?;
    if let Some(made) = inputs.made(cx, layout)? {
        return Ok(made);
    }
    let engine = Engine::Docker(engine::docker(cx).await?);
    let (started, spinner) = (cx.environment.now_unix(), cx.printer.spinner(&title(job, platform)));
    let imported = build(cx, &engine, job, bases, platform, layout, &spinner).await;
    spinner.finish_and_clear();
    let facts = Facts { started, bases: bases.packages(platform), image: job.image };
    let (made, leaked) = finish::write(cx, layout, &imported?, &facts)?;
    let leaked =
        if leaked.is_empty() { "nothing of the builder is in it".to_owned() } else { leaked.join("; ") };
    cx.printer.say(&format!("{}: not reproducible: {leaked}", title(job, platform)));
    // What was edited while it was read may be in the image or not: such a result is used once and not remembered.
    if self::inputs(cx, job, bases, platform)? == inputs {
        inputs.remember(cx, &made)?;
    }
    Ok(made)
}

fn title(job: &Job<'_>, platform: Platform) -> String {
    format!("{} {platform}", job.image.def.name)
}

/// Everything that decides the result; of secrets only which there are, since their values must not.
fn inputs(cx: &Context<'_>, job: &Job<'_>, bases: &Bases, platform: Platform) -> Result<Inputs> {
    let text = read_text(&job.file)?;
    let secrets: Vec<&String> = job.secrets.keys().collect();
    let builder = job.buildx.as_ref().map_or("engine", |_| "buildx");
    let all = json!({ "name": job.image.def.name, "dockerfile": Digest::of(text.as_bytes()),
        "context": job.context(cx).digest()?, "target": job.build.target, "args": job.build.args, "secrets": secrets,
        "builder": builder, "bases": bases.digests(platform), "config": Execution::from(&job.image.def.config) });
    Ok(Inputs::of_values(cx, job.image, platform, &all))
}

async fn build(
    cx: &Context<'_>,
    engine: &Engine,
    job: &Job<'_>,
    bases: &Bases,
    platform: Platform,
    layout: &Layout,
    spinner: &indicatif::ProgressBar,
) -> Result<Imported> {
    let docker = engine.docker()?;
    let loaded = bases.load(cx, engine, platform).await?;
    let step = |step: &str| spinner.set_message(format!("{}: {step}", title(job, platform)));
    // The Engine's own builder knows no platform in its cache: over `FROM scratch` it takes steps of another one.
    let mut found = String::new();
    for cached in [true, false] {
        let end = match &job.buildx {
            Some(_) => with_buildx(cx, docker, job, &loaded, platform, step).await?,
            None => with_engine(cx, docker, job, &loaded, (platform, cached), step).await?,
        };
        let id = match end {
            BuildEnd::Image(id) => id,
            BuildEnd::Failed(failure) => return Err(failed(cx, job, platform, failure)),
        };
        engine::note_loaded(cx, &id, &job.image.def.name)?;
        let images = or_interrupt(engine::export(cx, docker, &id, layout.blobs())).await?;
        found = images.iter().map(|image| image.platform.to_string()).collect::<Vec<_>>().join(", ");
        if let Some(image) = images.into_iter().find(|image| image.platform == platform) {
            return Ok(image);
        }
    }
    Err(Error::OtherPlatform { image: job.image.def.name.clone(), platform, found }.into())
}

/// Ctrl-C drops the work: the Engine then stops the build and removes its container.
async fn or_interrupt<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => Err(crate::error::Error::Interrupted.into()),
    }
}

/// By id: the Engine's own builder takes it in the place of a name.
async fn with_engine(
    cx: &Context<'_>,
    docker: &Docker,
    job: &Job<'_>,
    loaded: &BTreeMap<String, Digest>,
    (platform, cached): (Platform, bool),
    step: impl Fn(&str),
) -> Result<BuildEnd> {
    let named = |named: &syntax::Named| loaded.get(&named.image).map(Digest::to_string);
    let dockerfile = job.dockerfile(platform).with(named);
    let context = job.context(cx);
    let request = BuildRequest {
        dockerfile: context::DOCKERFILE.to_owned(),
        target: job.build.target.clone(),
        args: job.build.args.clone(),
        platform,
        cached,
    };
    let fill = move |sink: &mut dyn std::io::Write| context.write(&dockerfile, sink);
    let left = RefCell::new(vec![String::new()]);
    let progress = |progress: BuildProgress<'_>| match progress {
        BuildProgress::Step(text) => {
            if text.contains(": FROM ") {
                left.borrow_mut().push(String::new());
            }
            step(text);
        }
        BuildProgress::Image(id) => {
            if let Some(stage) = left.borrow_mut().last_mut() {
                id.clone_into(stage);
            }
        }
    };
    let built = async {
        docker.build_image(&request, fill, progress).await.map_err(|error| match error {
            xedge_sim::Error::Archive(source) => job.context(cx).error(source),
            other => other.into(),
        })
    };
    let built = or_interrupt(built).await;
    for id in left.take().iter().filter(|id| !id.is_empty()) {
        note_left(cx, docker, job, id).await;
    }
    built
}

/// What stages before the last one, and steps before one that failed, leave in the Engine makes the next build quick;
/// `gc` removes it.
async fn note_left(cx: &Context<'_>, docker: &Docker, job: &Job<'_>, id: &str) {
    if let Ok(Some(id)) = docker.image_id(id).await {
        // The build's own error is the one to tell.
        let _untold = engine::note_loaded(cx, &id, &job.image.def.name);
    }
}

/// By a tag of ours that is taken away again: buildx takes no ids.
async fn with_buildx(
    cx: &Context<'_>,
    docker: &Docker,
    job: &Job<'_>,
    loaded: &BTreeMap<String, Digest>,
    platform: Platform,
    step: impl Fn(&str),
) -> Result<BuildEnd> {
    let tag = |id: &Digest| temporary::tag(std::process::id(), id);
    let named = |named: &syntax::Named| {
        loaded.get(&named.image).map(|id| format!("{}:{}", temporary::REPOSITORY, tag(id)))
    };
    let ours: String = job.ours(cx).iter().flat_map(|path| [path, "\n"]).collect();
    let request = buildx::Request {
        host: docker.host(),
        context: &job.folder,
        dockerfile: &job.dockerfile(platform).with(named),
        ignore: &format!("{}\n{ours}", job.ignore),
        platform,
        target: job.build.target.as_deref(),
        args: &job.build.args,
        secrets: &job.secrets,
    };
    let built = or_interrupt(async {
        for id in loaded.values() {
            docker.tag(id.as_str(), temporary::REPOSITORY, &tag(id)).await?;
        }
        buildx::build(&request, step).await
    });
    let built = built.await;
    let mut untagged = Ok(());
    for id in loaded.values() {
        untagged = untagged.and(temporary::untag(docker, &tag(id)).await);
    }
    // The build's own error is the one to tell.
    let built = built?;
    untagged?;
    Ok(built)
}

/// A program for another machine that does not start is this machine's fault, not the Dockerfile's.
fn failed(cx: &Context<'_>, job: &Job<'_>, platform: Platform, failure: xedge_sim::BuildFailure) -> Failed {
    let image = job.image.def.name.clone();
    let around = Surroundings::of(&cx.environment, cx.project.root());
    let does_not_start =
        failure.tail.iter().chain([&failure.message]).any(|line| line.contains("exec format error"));
    if does_not_start
        && host_platform().is_ok_and(|host| host != platform)
        && !setup::starts_foreign(&around, platform)
    {
        return Error::NoEmulation { image, platform }.into();
    }
    let file = cx.project.relative(&job.file).to_owned();
    Error::Step { image, platform, file, failure }.into()
}
