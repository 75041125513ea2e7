//! Tar files: their members, and the bytes that belong to none.

use std::{
    cell::{Cell, RefCell},
    io::{self, Read},
};

use super::{SecretFinding, scan::Scanner};

/// What a tar is read from. What is read while it listens is looked at: headers, names, comments, what fills up.
struct Listening<'r> {
    reader: RefCell<&'r mut dyn Read>,
    scanner: RefCell<Scanner>,
    is_on: Cell<bool>,
}

impl Read for &Listening<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.borrow_mut().read(buffer)?;
        if self.is_on.get() {
            self.scanner.borrow_mut().push(&buffer[..count]);
        }
        Ok(count)
    }
}

/// Visits each member with its name, as long as that is wanted, and returns what else is in the tar.
pub(super) fn read(
    reader: &mut dyn Read,
    visit: &mut dyn FnMut(&str, &mut dyn Read) -> bool,
) -> io::Result<Vec<SecretFinding>> {
    let listening = Listening {
        reader: RefCell::new(reader),
        scanner: RefCell::new(Scanner::new()),
        is_on: Cell::new(true),
    };
    let mut archive = tar::Archive::new(&listening);
    archive.set_ignore_zeros(true);
    let entries = archive.entries()?;
    let mut is_whole = true;
    for member in entries {
        let Ok(mut member) = member else {
            is_whole = false;
            break;
        };
        listening.is_on.set(false);
        let name = String::from_utf8_lossy(&member.path_bytes()).into_owned();
        let is_going_on = visit(&name, &mut member);
        listening.is_on.set(true);
        if !is_going_on {
            break;
        }
    }
    io::copy(&mut &listening, &mut io::sink())?;
    let mut found = listening.scanner.into_inner().finished();
    if !is_whole {
        found.push(SecretFinding::unsearched(
            "it is damaged behind some of its files",
        ));
    }
    Ok(found)
}
