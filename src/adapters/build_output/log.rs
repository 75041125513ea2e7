//! The classic builder's text, and Podman's, which looks like it.

use bollard::models::{BuildInfo, BuildInfoAux};

use super::{BuildStep, Output, Printed, fraction};
use crate::adapters::builder::BuildEvent;

/// The state after the messages so far.
#[derive(Default)]
pub(in crate::adapters) struct ClassicLog {
    text: Printed,
    step: Option<BuildStep>,
    /// Whether the step was reported. That waits for the next line, which says whether the step comes from the cache.
    told: bool,
    image: Option<String>,
    done: bool,
}

impl Output for ClassicLog {
    fn take(&mut self, message: BuildInfo, events: &mut dyn FnMut(BuildEvent)) {
        if let Some(BuildInfoAux::Default(image)) = message.aux {
            self.image = image.id.or(self.image.take());
        }
        let text = message.stream.unwrap_or_default();
        // The builder colours a step's standard error.
        let text = text.replace("\u{1b}[91m", "").replace("\u{1b}[0m", "");
        for line in self.text.push(text.as_bytes()) {
            self.take_line(line, events);
        }
    }

    fn image(&self) -> Option<&str> {
        self.image.as_deref().filter(|_| self.done)
    }

    fn failing(&mut self) -> Option<&BuildStep> {
        let open = self.text.take_open();
        if let Some(step) = &mut self.step {
            step.printed.keep(open.as_slice());
        }
        self.step.as_ref()
    }
}

impl ClassicLog {
    fn take_line(&mut self, line: String, events: &mut dyn FnMut(BuildEvent)) {
        if let Some(step) = parse_step(&line) {
            self.tell(false, events);
            (self.step, self.told) = (Some(step), false);
            return;
        }
        self.done |= is_end(&line);
        self.tell(is_cache_note(&line), events);
        if !is_note(&line) {
            if let Some(step) = &mut self.step {
                step.printed.keep(std::slice::from_ref(&line));
            }
            events(BuildEvent::Log(line));
        }
    }

    fn tell(&mut self, cached: bool, events: &mut dyn FnMut(BuildEvent)) {
        if let Some(step) = &self.step
            && !std::mem::replace(&mut self.told, true)
        {
            events(step.event(cached));
        }
    }
}

/// `Step 3/7 : RUN make`, or Podman's `STEP 3/7: RUN make`.
fn parse_step(line: &str) -> Option<BuildStep> {
    let rest = line
        .strip_prefix("Step ")
        .or_else(|| line.strip_prefix("STEP "))?;
    let (place, instruction) = rest.split_once(':')?;
    let (number, total) = fraction(place.trim())?;
    Some(BuildStep {
        instruction: instruction.trim().to_owned(),
        number,
        total,
        printed: Printed::default(),
    })
}

fn is_cache_note(line: &str) -> bool {
    line.trim_start().starts_with("---> Using cache") || line.starts_with("--> Using cache")
}

/// Whether a line is the builder's own, about intermediate images and containers.
fn is_note(line: &str) -> bool {
    let hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let arrow = line
        .trim_start()
        .strip_prefix("---> ")
        .or_else(|| line.strip_prefix("--> "));
    is_cache_note(line)
        || arrow.is_some_and(|text| hex(text) || text.starts_with("Running in "))
        || line.starts_with("Removing intermediate container ")
        || is_end(line)
}

/// Whether a line is `Successfully built` and a short image ID. pip prints `Successfully built` and names of packages.
fn is_end(line: &str) -> bool {
    let id = line.strip_prefix("Successfully built ");
    id.is_some_and(|id| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use bollard::models::ImageId;

    use super::{super::step, *};

    fn take(lines: &mut ClassicLog, texts: &[&str]) -> Vec<BuildEvent> {
        let mut events = Vec::new();
        for text in texts {
            let message = BuildInfo {
                stream: Some((*text).to_owned()),
                ..BuildInfo::default()
            };
            lines.take(message, &mut |event| events.push(event));
        }
        events
    }

    #[test]
    fn steps_are_told_once_and_the_output_belongs_to_them() {
        let mut lines = ClassicLog::default();
        let events = take(
            &mut lines,
            &[
                "Step 1/3 : FROM x",
                "\n",
                " ---> 98d6a9a34c98\n",
                "Step 2/3 : COPY a /",
                "\n",
                " ---> Using cache\n",
                " ---> 01234567abcd\n",
                "Step 3/3 : RUN make: all",
                "\n",
                " ---> Running in 0a1b2c3d4e5f\n",
                "\u{1b}[91mno ",
                "way\n\u{1b}[0m",
                "\u{1b}[91mat all",
            ],
        );
        let wanted = [
            step(1, "FROM x", false),
            step(2, "COPY a /", true),
            step(3, "RUN make: all", false),
            BuildEvent::Log("no way".to_owned()),
        ];
        assert_eq!(events, wanted);
        let failing = lines.failing().unwrap();
        assert_eq!(failing.number, 3);
        assert_eq!(failing.printed.last(), ["no way", "at all"]);
    }

    #[test]
    fn an_image_counts_only_once_the_builder_is_done() {
        let mut lines = ClassicLog::default();
        let image = BuildInfo {
            aux: Some(BuildInfoAux::Default(ImageId {
                id: Some("sha256:1".to_owned()),
            })),
            ..BuildInfo::default()
        };
        lines.take(image, &mut |_| {});
        assert_eq!(lines.image(), None);
        let pip = "Successfully built pandas\n";
        assert_eq!(take(&mut lines, &[pip]).len(), 1);
        assert_eq!(lines.image(), None);
        assert_eq!(take(&mut lines, &["Successfully built 0123456789ab\n"]), []);
        assert_eq!(lines.image(), Some("sha256:1"));
    }
}
