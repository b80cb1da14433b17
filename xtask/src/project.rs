//! Where a project's files are: found by walking up, never assumed to be this repository.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_model::yaml::{Source, near};
use xedge_model::{ImageDef, ImageName};

use crate::environment::Environment;
use crate::error::{Error, Failed, Result, read_text};

/// A project folder and the data folder that goes with it.
#[derive(Clone, Debug)]
pub struct Project {
    root: Utf8PathBuf,
    /// Where `templates` and `scenarios` are: the root, but for stacks that were made from flags.
    stacks: Utf8PathBuf,
    home: Option<Utf8PathBuf>,
}

/// One image of the project.
#[derive(Clone, Debug)]
pub struct ImageSource {
    /// Folder below images/.
    pub folder: Utf8PathBuf,
    /// The text of image.yaml.
    pub source: Source,
    /// The definition.
    pub def: ImageDef,
}

impl Project {
    /// The project at `named`, else the nearest one at or above the current folder.
    pub fn find(named: Option<&Utf8Path>, environment: &Environment) -> Result<Self> {
        let start = match named {
            Some(named) => environment.folder()?.join(named),
            None => environment.folder()?.clone(),
        };
        let is_project = |dir: &&Utf8Path| dir.join("Cargo.toml").is_file() && dir.join("images").is_dir();
        let root = match named {
            Some(_) => Some(start.as_path()).filter(is_project),
            None => start.ancestors().find(is_project),
        };
        let root = root.ok_or_else(|| Error::NoProject(start.clone()))?.to_owned();
        Ok(Self { stacks: root.clone(), root, home: environment.data_folder()? })
    }

    /// The same project, its images and outputs, with the stacks, environments and scenarios of another folder.
    pub(crate) fn with_stacks_of(&self, folder: &Utf8Path) -> Self {
        Self { stacks: folder.to_owned(), ..self.clone() }
    }

    /// The project's folder.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// The folder of keys, secrets and run locks; outlives `cargo clean`.
    pub fn home(&self) -> Result<&Utf8Path> {
        Ok(self.home.as_deref().ok_or(Error::NoHome)?)
    }

    /// A folder of outputs, `target/xedge/NAME`.
    pub fn output(&self, name: &str) -> Utf8PathBuf {
        self.root.join("target/xedge").join(name)
    }

    /// `templates/`.
    pub fn templates(&self) -> Utf8PathBuf {
        self.stacks.join("templates")
    }

    /// `scenarios/`.
    pub(crate) fn scenarios_folder(&self) -> Utf8PathBuf {
        self.stacks.join("scenarios")
    }

    /// `path` as a person in the project's folder would type it.
    pub fn relative<'a>(&self, path: &'a Utf8Path) -> &'a Utf8Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }

    /// A source text, named relative to the project.
    pub fn source(&self, path: &Utf8Path) -> Result<Source> {
        Ok(Source::new(self.relative(path).as_str(), read_text(path)?))
    }

    /// All images, ordered by folder.
    pub fn images(&self) -> Result<Vec<ImageSource>> {
        let mut images = Vec::new();
        for folder in folders(&self.root.join("images"))? {
            let file = folder.join("image.yaml");
            if file.is_file() {
                let source = self.source(&file)?;
                let def = ImageDef::parse(&source)?;
                images.push(ImageSource { folder, source, def });
            }
        }
        refuse_same_names(&images)?;
        Ok(images)
    }

    /// The images called by folder or name; all when none is called.
    pub fn select_images(&self, called: &[String]) -> Result<Vec<ImageSource>> {
        let all = self.images()?;
        if all.is_empty() {
            return Err(nothing("image", "images/NAME/image.yaml"));
        }
        if called.is_empty() {
            return Ok(all);
        }
        called.iter().map(|call| select_image(&all, call).cloned()).collect()
    }

    /// Every scenario file, ordered by name.
    pub fn scenarios(&self) -> Result<Vec<Utf8PathBuf>> {
        let mut files = entries(&self.scenarios_folder())?;
        files.retain(|path| path.is_file() && path.extension() == Some("yaml"));
        Ok(files)
    }

    /// The scenario files called by name or path; all when none is called.
    pub fn select_scenarios(&self, called: &[String], folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
        let all = self.scenarios()?;
        if called.is_empty() && all.is_empty() {
            return Err(nothing("scenario", "scenarios/NAME.yaml"));
        }
        if called.is_empty() {
            return Ok(all);
        }
        called.iter().map(|call| select_scenario(&all, call, folder)).collect()
    }

    /// The stack called by name; the only one when none is called.
    pub fn select_stack(&self, called: Option<&str>) -> Result<String> {
        let known = self.stacks()?;
        match (called, &known[..]) {
            (Some(named), _) => Ok(named.to_owned()),
            (None, [only]) => Ok(only.clone()),
            (None, _) => {
                let hint = format!("name one of {} with `--stack NAME`", known.join(", "));
                let name = "templates/stacks".to_owned();
                Err(Error::Unknown { what: "the one stack that is meant in", name, hint }.into())
            }
        }
    }

    /// Every stack, ordered by name.
    pub fn stacks(&self) -> Result<Vec<String>> {
        let folders = folders(&self.templates().join("stacks"))?;
        Ok(folders.iter().filter_map(|folder| folder.file_name()).map(str::to_owned).collect())
    }
}

/// Two images of one name would take each other's place in the layout.
fn refuse_same_names(images: &[ImageSource]) -> Result<()> {
    let mut seen = BTreeSet::new();
    match images.iter().find(|image| !seen.insert(&image.def.name)) {
        Some(twice) => {
            Err(twice.source.error(format!("another image is called {} too", twice.def.name)).into())
        }
        None => Ok(()),
    }
}

/// Doing nothing and calling it a success would be a trap.
fn nothing(what: &'static str, where_to: &str) -> Failed {
    Error::Unknown {
        what,
        name: "*".to_owned(),
        hint: format!("there is none in this project: add `{where_to}`"),
    }
    .into()
}

/// The image called by folder or name.
pub fn select_image<'a>(all: &'a [ImageSource], call: &str) -> Result<&'a ImageSource> {
    let matches =
        |image: &&ImageSource| image.folder.file_name() == Some(call) || image.def.name.as_str() == call;
    Ok(all.iter().find(matches).ok_or_else(|| {
        let known =
            all.iter().flat_map(|image| [image.def.name.as_str(), image.folder.file_name().unwrap_or("")]);
        Error::Unknown { what: "image", name: call.to_owned(), hint: near_or_list(call, known) }
    })?)
}

/// The image with this name.
pub fn image_named<'a>(all: &'a [ImageSource], name: &ImageName) -> Option<&'a ImageSource> {
    all.iter().find(|image| image.def.name == *name)
}

fn select_scenario(all: &[Utf8PathBuf], call: &str, folder: &Utf8Path) -> Result<Utf8PathBuf> {
    if Utf8Path::new(call).extension().is_some() || call.contains('/') {
        return Ok(folder.join(call));
    }
    let found = all.iter().find(|path| path.file_stem() == Some(call)).cloned();
    Ok(found.ok_or_else(|| {
        let known = all.iter().filter_map(|path| path.file_stem());
        Error::Unknown { what: "scenario", name: call.to_owned(), hint: near_or_list(call, known) }
    })?)
}

fn near_or_list<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    near(name, known.clone()).map_or_else(
        || format!("known: {}", known.collect::<Vec<_>>().join(", ")),
        |near| format!("did you mean `{near}`?"),
    )
}

fn folders(parent: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let mut found = entries(parent)?;
    found.retain(|path| path.is_dir());
    Ok(found)
}

/// The entries of a folder, sorted; none when there is no such folder.
pub(crate) fn entries(parent: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let failed = |source| Error::Read { path: parent.into(), source };
    let iterator = match parent.read_dir_utf8() {
        Ok(iterator) => iterator,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source).into()),
    };
    let mut found = Vec::new();
    for entry in iterator {
        found.push(entry.map_err(failed)?.into_path());
    }
    found.sort();
    Ok(found)
}
