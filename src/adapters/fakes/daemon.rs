//! A daemon in memory, connected to a registry in memory.

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use super::{InMemory, RecordingBuilder, documents_of, image, registry_image};
use crate::{
    adapters::{
        builder::Builder,
        destination::{Destination, DestinationError, ImageDaemon, Programs},
        docker::{
            DockerError, ExportedImage, JobContainer, JobEnd, JobStreams, LoadRequest,
            PrintedBytes, PrintedLine, ProgramEnd, ProgramInImage, TransferEvent, WantedLayers,
        },
        ending::{self, OnEnd},
        registry::RegistryImage,
    },
    image::{
        ImageDocuments, ImageError, ImageInfo, ImagePython, LayerContents, LayerScanner, Platform,
        Program, Reference,
    },
    project::tree::Entry,
};

/// A daemon whose pushes and pulls go to one registry, whatever host a reference has.
#[derive(Clone)]
pub(crate) struct DaemonInMemory {
    pub(crate) images: InMemory<ImageInfo>,
    pub(crate) builder: RecordingBuilder,
    registry: InMemory<RegistryImage>,
    state: Arc<Mutex<DaemonState>>,
}

#[derive(Default)]
struct DaemonState {
    /// The moves and removals, in sequence.
    moved: Vec<String>,
    /// The errors of the next pushes and pulls, each with whether the tag is gone afterwards.
    faults: VecDeque<(DockerError, bool)>,
    /// What the next programs print, and how they end.
    prints: VecDeque<(String, ProgramEnd)>,
    /// What the last program got on its standard input.
    input: Vec<u8>,
}

impl DaemonInMemory {
    /// An empty daemon, connected to `registry`.
    pub(crate) fn beside(registry: &InMemory<RegistryImage>) -> Self {
        let images = InMemory::default();
        Self {
            builder: RecordingBuilder::new(&images),
            images,
            registry: registry.clone(),
            state: Arc::default(),
        }
    }

    /// The pushes, pulls, imports and removed tags since the last call, in sequence.
    pub(crate) fn moved(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().moved)
    }

    /// Makes the next program in an image print this, lines after `! ` on its standard error, and end so.
    pub(crate) fn will_print(&self, output: &str, end: ProgramEnd) {
        let mut state = self.state.lock().unwrap();
        state.prints.push_back((output.to_owned(), end));
    }

    /// What the last program in an image got on its standard input.
    pub(crate) fn given(&self) -> String {
        String::from_utf8(self.state.lock().unwrap().input.clone()).unwrap()
    }

    /// Makes the next push or pull fail.
    pub(crate) fn fail_next_move(&self, error: DockerError) {
        self.state.lock().unwrap().faults.push_back((error, false));
    }

    /// Makes the next push fail because somebody removed its tag.
    pub(crate) fn lose_next_tag(&self) {
        let error = DockerError::Answer {
            doing: "push".to_owned(),
            message: "no such tag".to_owned(),
        };
        self.state.lock().unwrap().faults.push_back((error, true));
    }

    /// Records a move of `reference`, or fails.
    fn note_move(&self, verb: &str, reference: &Reference) -> Result<(), DockerError> {
        let mut state = self.state.lock().unwrap();
        state.moved.push(format!("{verb} {reference}"));
        match state.faults.pop_front() {
            None => Ok(()),
            Some((error, is_gone)) => {
                if is_gone {
                    self.images.remove(&reference.to_string());
                }
                Err(error)
            }
        }
    }
}

impl Destination for DaemonInMemory {
    type Stored = ImageInfo;

    fn find(
        &self,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Option<ImageInfo>, DestinationError> {
        self.images.find(reference, platform)
    }

    fn tag(&self, image: &ImageInfo, reference: &Reference) -> Result<bool, DestinationError> {
        self.images.tag(image, reference)
    }
}

impl Programs for DaemonInMemory {
    fn program(&self, image: &ImageInfo) -> Result<Option<Program>, DestinationError> {
        self.images.program(image)
    }

    fn python(&self, image: &ImageInfo) -> Result<ImagePython, DestinationError> {
        self.images.python(image)
    }
}

impl ImageDaemon for DaemonInMemory {
    fn platform(&self) -> Result<Platform, DestinationError> {
        Ok(Platform::default())
    }

    fn builder(&self, _: &Platform) -> Result<Box<dyn Builder + '_>, DestinationError> {
        Ok(Box::new(self.builder.clone()))
    }

    fn inspect(&self, name: &str) -> Result<Option<ImageInfo>, DestinationError> {
        self.images.look_up(name)
    }

    fn import(
        &self,
        _entries: &[Entry],
        labels: &BTreeMap<String, String>,
        platform: &Platform,
        reference: &Reference,
    ) -> Result<ImageInfo, DestinationError> {
        self.note_move("import", reference)?;
        let mut made = image(&reference.to_string());
        made.labels = labels.clone();
        made.platform = platform.clone();
        self.images.put(&reference.to_string(), made.clone());
        Ok(made)
    }

    fn parent(&self, name: &str) -> Result<Option<ImageDocuments>, DestinationError> {
        let found = match self.images.with_id(name) {
            Some(found) => Some(found),
            None => self.inspect(name)?,
        };
        Ok(found.as_ref().map(documents_of))
    }

    /// An image in memory has no layers.
    fn export(
        &self,
        _: &str,
        _: &WantedLayers<'_>,
        _: &Path,
    ) -> Result<Option<ExportedImage>, DestinationError> {
        Ok(None)
    }

    fn scan(
        &self,
        image: &ImageInfo,
        scanner: &LayerScanner,
    ) -> Result<LayerContents, DestinationError> {
        let tar = self.images.files_of(&image.id);
        let refused = |error: ImageError| DockerError::Answer {
            doing: "look into it".to_owned(),
            message: error.to_string(),
        };
        Ok(scanner.scan(&*tar).map_err(refused)?)
    }

    /// Answers what [`Self::will_print`] was given, line by line.
    fn run_program(
        &self,
        program: &ProgramInImage<'_>,
        printed: &mut dyn FnMut(PrintedLine<'_>),
    ) -> Result<ProgramEnd, DestinationError> {
        let mut state = self.state.lock().unwrap();
        state.moved.push(format!("run {}", program.name));
        state.input = program.input.to_vec();
        let (output, end) = state.prints.pop_front().unwrap();
        output
            .lines()
            .for_each(|line| match line.strip_prefix("! ") {
                Some(line) => printed(PrintedLine::Error(line)),
                None => printed(PrintedLine::Output(line)),
            });
        Ok(end)
    }

    fn run_job(
        &self,
        job: &JobContainer<'_>,
        streams: JobStreams<'_>,
    ) -> Result<JobEnd, DestinationError> {
        let mut state = self.state.lock().unwrap();
        state.moved.push(format!("run job {}", job.name));
        let (output, end) = state.prints.pop_front().unwrap();
        if (streams.printed)(PrintedBytes::Output(output.as_bytes())).is_break() {
            return Ok(JobEnd::Stopped);
        }
        Ok(match end {
            ProgramEnd::Exit(code) => JobEnd::Exit(code),
            ProgramEnd::OutOfTime => JobEnd::Stopped,
        })
    }

    fn load(&self, request: &LoadRequest<'_>) -> Result<ImageInfo, DestinationError> {
        self.note_move("load", request.reference)?;
        let info = request.image.info.clone();
        self.images
            .put(&request.reference.to_string(), info.clone());
        Ok(info)
    }

    fn push(
        &self,
        reference: &Reference,
        _registry_auth: &str,
        events: &mut dyn FnMut(TransferEvent),
    ) -> Result<(), DestinationError> {
        self.note_move("push", reference)?;
        let name = reference.to_string();
        let Some(info) = self.images.get(&name) else {
            return Err(DestinationError::Docker(DockerError::Push {
                reference: Box::new(reference.clone()),
                message: "tag does not exist".to_owned(),
            }));
        };
        events(TransferEvent::Status("Pushed".to_owned()));
        self.registry.put(&name, registry_image(info));
        Ok(())
    }

    fn pull(
        &self,
        reference: &Reference,
        _platform: &Platform,
        _registry_auth: &str,
        _events: &mut dyn FnMut(TransferEvent),
    ) -> Result<(), DestinationError> {
        self.note_move("pull", reference)?;
        // Time for others to begin the same.
        thread::sleep(Duration::from_millis(10));
        let found = match &reference.digest {
            Some(digest) => self.registry.with_digest(digest),
            None => self.registry.get(&reference.to_string()),
        };
        let Some(found) = found else {
            return Err(DestinationError::Docker(DockerError::Pull {
                reference: Box::new(reference.clone()),
                message: "manifest unknown".to_owned(),
            }));
        };
        self.images.put(&reference.to_string(), found.info);
        Ok(())
    }

    fn untag_on_end(&self, _: &Reference) -> OnEnd {
        ending::on_end(|| ())
    }

    fn untag(&self, reference: &Reference) -> Result<(), DestinationError> {
        self.note_move("untag", reference)?;
        self.images.remove(&reference.to_string());
        Ok(())
    }
}
