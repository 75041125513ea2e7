//! BuildKit's trace: the vertices of a graph, some of which are steps, and their output.

use std::collections::BTreeMap;

use bollard::{
    moby::buildkit::v1::{StatusResponse, Vertex},
    models::{BuildInfo, BuildInfoAux},
};

use super::{BuildStep, Output, fraction};
use crate::adapters::builder::BuildEvent;

/// The state after the messages so far.
#[derive(Default)]
pub(in crate::adapters) struct BuildKitTrace {
    /// The vertices by digest.
    vertices: BTreeMap<String, VertexState>,
    failing: Option<String>,
    image: Option<String>,
    /// Whether a `FROM` that names an image has no number, although it is counted.
    skips_from: bool,
    /// The highest number in each stage of a Dockerfile, if that is so.
    highest: BTreeMap<String, usize>,
}

#[derive(Default)]
struct VertexState {
    step: BuildStep,
    told: bool,
}

impl Output for BuildKitTrace {
    fn take(&mut self, message: BuildInfo, events: &mut dyn FnMut(BuildEvent)) {
        match message.aux {
            Some(BuildInfoAux::BuildKit(trace)) => self.take_trace(trace, events),
            Some(BuildInfoAux::Default(image)) => self.image = image.id.or(self.image.take()),
            None => {}
        }
    }

    fn image(&self) -> Option<&str> {
        self.image.as_deref()
    }

    fn failing(&mut self) -> Option<&BuildStep> {
        let seen = self.vertices.get(self.failing.as_ref()?)?;
        Some(&seen.step).filter(|step| step.total > 0)
    }
}

impl BuildKitTrace {
    /// The trace of a build that is told where its images are: then `BuildKit` begins to number after a `FROM`.
    pub(in crate::adapters) fn of_named_images() -> Self {
        Self {
            skips_from: true,
            ..Self::default()
        }
    }

    /// Reads a part of the trace.
    pub(in crate::adapters) fn take_trace(
        &mut self,
        trace: StatusResponse,
        events: &mut dyn FnMut(BuildEvent),
    ) {
        // A message may have a step twice, as started and as cached: the last one counts.
        let latest: BTreeMap<&str, &Vertex> = trace
            .vertexes
            .iter()
            .map(|vertex| (&*vertex.digest, vertex))
            .collect();
        if self.skips_from {
            for vertex in &trace.vertexes {
                self.note_number(&vertex.name);
            }
        }
        for vertex in &trace.vertexes {
            let cached = latest[&*vertex.digest].cached;
            self.take_vertex(vertex, cached, events);
        }
        for log in trace.logs {
            let seen = self.vertices.entry(log.vertex).or_default();
            for line in seen.step.printed.push(&log.msg) {
                events(BuildEvent::Log(line));
            }
        }
    }

    fn note_number(&mut self, name: &str) {
        if let Some((stage, number, ..)) = parse_name(name) {
            let highest = self.highest.entry(stage.to_owned()).or_default();
            *highest = number.max(*highest);
        }
    }

    fn take_vertex(&mut self, vertex: &Vertex, cached: bool, events: &mut dyn FnMut(BuildEvent)) {
        let seen = self.vertices.entry(vertex.digest.clone()).or_default();
        if let Some((stage, number, total, instruction)) = parse_name(&vertex.name) {
            let highest = self.highest.get(stage).copied();
            let is_behind = highest.is_some_and(|highest| highest + 1 == total);
            let number = number + usize::from(is_behind);
            instruction.clone_into(&mut seen.step.instruction);
            (seen.step.number, seen.step.total) = (number, total);
            if vertex.started.is_some() && !std::mem::replace(&mut seen.told, true) {
                events(seen.step.event(cached));
            }
        }
        // A step that fails cancels those beside it.
        if !vertex.error.is_empty() && !vertex.error.contains("context canceled") {
            self.failing = Some(vertex.digest.clone());
        }
    }
}

/// Stage, number, total and instruction of a name like `[stage-1 3/7] RUN make`; those of internal vertices have no
/// numbers.
fn parse_name(name: &str) -> Option<(&str, usize, usize, &str)> {
    let (place, instruction) = name.strip_prefix('[')?.split_once("] ")?;
    let numbers = place.split_whitespace().last()?;
    let stage = place.strip_suffix(numbers)?.trim_end();
    let (number, total) = fraction(numbers)?;
    Some((stage, number, total, instruction))
}

#[cfg(test)]
mod tests {
    use bollard::{moby::buildkit::v1::VertexLog, models::ImageId};

    use super::{super::step, *};

    #[test]
    fn names_of_steps_have_numbers() {
        let table = [
            ("[2/2] COPY a /", Some(("", 2, 2, "COPY a /"))),
            (
                "[stage-1  3/17] RUN [ 1 = 1 ] && make",
                Some(("stage-1", 3, 17, "RUN [ 1 = 1 ] && make")),
            ),
            (
                "[linux/amd64 1/2] FROM x",
                Some(("linux/amd64", 1, 2, "FROM x")),
            ),
            ("[internal] load build context", None),
            ("[linux/amd64 internal] settings", None),
            ("exporting to image", None),
            ("[auth] a/b:pull token", None),
        ];
        for (name, wanted) in table {
            assert_eq!(parse_name(name), wanted, "{name}");
        }
    }

    fn vertex(name: &str, started: bool, cached: bool, error: &str) -> Vertex {
        Vertex {
            digest: name.to_owned(),
            name: name.to_owned(),
            started: started.then(Default::default),
            cached,
            error: error.to_owned(),
            ..Vertex::default()
        }
    }

    fn take(
        trace: &mut BuildKitTrace,
        vertexes: Vec<Vertex>,
        logs: Vec<VertexLog>,
    ) -> Vec<BuildEvent> {
        let status = StatusResponse {
            vertexes,
            logs,
            ..StatusResponse::default()
        };
        let message = BuildInfo {
            aux: Some(BuildInfoAux::BuildKit(status)),
            ..BuildInfo::default()
        };
        let mut events = Vec::new();
        trace.take(message, &mut |event| events.push(event));
        events
    }

    #[test]
    fn numbers_begin_at_the_image_that_a_from_names() {
        let mut trace = BuildKitTrace::of_named_images();
        let both = vec![
            vertex("[a 1/3] COPY a /", true, false, ""),
            vertex("[a 2/3] RUN b", true, false, ""),
            vertex("[b 1/1] COPY c /", true, false, ""),
        ];
        let numbers = take(&mut trace, both, vec![])
            .into_iter()
            .map(|event| match event {
                BuildEvent::Step { number, total, .. } => (number, total),
                other => panic!("{other:?}"),
            });
        assert_eq!(numbers.collect::<Vec<_>>(), [(2, 3), (3, 3), (1, 1)]);
    }

    #[test]
    fn each_step_is_told_once_and_the_failing_one_is_not_one_that_was_called_off() {
        let (first, second, third) = ("[1/3] FROM x", "[2/3] COPY a /", "[b 3/3] RUN false");
        let mut trace = BuildKitTrace::default();
        let not_yet = vec![
            vertex(first, false, false, ""),
            vertex("[internal] x", true, false, ""),
        ];
        assert_eq!(take(&mut trace, not_yet, vec![]), []);
        let both = vec![
            vertex(first, true, false, ""),
            vertex(first, true, true, ""),
        ];
        assert_eq!(take(&mut trace, both, vec![]), [step(1, "FROM x", true)]);
        let log = VertexLog {
            vertex: third.to_owned(),
            msg: b"no\nway".to_vec(),
            ..VertexLog::default()
        };
        let running = vec![
            vertex(third, true, false, ""),
            vertex(second, true, false, ""),
        ];
        let wanted = [
            step(3, "RUN false", false),
            step(2, "COPY a /", false),
            BuildEvent::Log("no".to_owned()),
        ];
        assert_eq!(take(&mut trace, running, vec![log]), wanted);
        let ended = vec![
            vertex(third, true, false, "exit code: 1"),
            vertex(second, true, false, "context canceled"),
        ];
        assert_eq!(take(&mut trace, ended, vec![]), []);
        let failing = trace.failing().unwrap();
        assert_eq!(failing.instruction, "RUN false");
        assert_eq!(failing.printed.last(), ["no", "way"]);
        assert_eq!(trace.image(), None);
        let image = BuildInfo {
            aux: Some(BuildInfoAux::Default(ImageId {
                id: Some("sha256:1".to_owned()),
            })),
            ..BuildInfo::default()
        };
        trace.take(image, &mut |_| {});
        assert_eq!(trace.image(), Some("sha256:1"));
    }
}
