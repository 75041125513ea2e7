use super::Platform;

/// The machines of ELF headers, by the architecture of an OCI platform. A 64-bit system also runs its 32-bit programs.
const MACHINES: [(&str, &[u16]); 5] = [
    ("amd64", &[62, 3]),
    ("arm64", &[183, 40]),
    ("ppc64le", &[21]),
    ("s390x", &[22]),
    ("riscv64", &[243]),
];

/// A program or library in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its path in the image.
    pub path: String,
    /// The machine that it is for: `e_machine` of its ELF header.
    pub machine: u16,
}

impl Program {
    /// The machine of the file that begins with `bytes`; `None` if it is neither a program nor a library in ELF.
    #[must_use]
    pub fn machine_of(bytes: &[u8]) -> Option<u16> {
        let header = bytes
            .get(..20)
            .filter(|head| head.starts_with(b"\x7fELF"))?;
        let number = |at: usize| {
            let both = [header[at], header[at + 1]];
            match header[5] {
                1 => Some(u16::from_le_bytes(both)),
                2 => Some(u16::from_be_bytes(both)),
                _ => None,
            }
        };
        // Objects that are still to be linked are for whatever a compiler makes.
        number(16).filter(|kind| matches!(kind, 2 | 3))?;
        number(18)
    }

    /// The name of its machine: an architecture of OCI, if there is one.
    #[must_use]
    pub fn architecture(&self) -> String {
        let known = MACHINES
            .iter()
            .find(|(_, machines)| machines.first() == Some(&self.machine));
        known.map_or_else(
            || format!("machine {} of ELF", self.machine),
            |(architecture, _)| (*architecture).to_owned(),
        )
    }

    /// Whether its machine is one that an image can be for.
    #[must_use]
    pub fn is_known(&self) -> bool {
        let mut machines = MACHINES.iter().flat_map(|(_, machines)| machines.iter());
        machines.any(|machine| *machine == self.machine)
    }

    /// Whether it can run on a platform; of an unknown one nobody can say.
    #[must_use]
    pub fn runs_on(&self, platform: &Platform) -> bool {
        let known = MACHINES
            .iter()
            .find(|(architecture, _)| *architecture == platform.architecture);
        known.is_none_or(|(_, machines)| machines.contains(&self.machine))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(order: u8, kind: [u8; 2], machine: [u8; 2]) -> Vec<u8> {
        let mut header = b"\x7fELF\x02".to_vec();
        header.extend([order, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        header.extend(kind);
        header.extend(machine);
        header
    }

    #[test]
    fn the_machine_stands_in_the_header_in_its_own_order() {
        for (bytes, machine) in [
            (header(1, [2, 0], [62, 0]), Some(62)),
            (header(1, [3, 0], [183, 0]), Some(183)),
            (header(2, [0, 3], [0, 22]), Some(22)),
            (header(1, [1, 0], [62, 0]), None),
            (header(1, [4, 0], [62, 0]), None),
            (header(3, [2, 0], [62, 0]), None),
            (header(1, [2, 0], [62, 0])[..19].to_vec(), None),
            (b"#!/bin/sh\nexec something long\n".to_vec(), None),
            (Vec::new(), None),
        ] {
            assert_eq!(Program::machine_of(&bytes), machine, "{bytes:?}");
        }
    }

    #[test]
    fn a_program_runs_on_its_own_architecture_and_no_other() {
        let names = ["amd64", "arm64", "ppc64le", "s390x", "riscv64"];
        for (index, machine) in [62, 183, 21, 22, 243].into_iter().enumerate() {
            let path = "bin/sh".to_owned();
            let program = Program { path, machine };
            assert_eq!(program.architecture(), names[index]);
            for name in names {
                let platform: Platform = format!("linux/{name}").parse().unwrap();
                assert_eq!(program.runs_on(&platform), name == names[index], "{name}");
            }
        }
        let of_32_bits = |machine| Program {
            path: "bin/sh".to_owned(),
            machine,
        };
        assert!(of_32_bits(3).runs_on(&"linux/amd64".parse().unwrap()));
        assert!(of_32_bits(40).runs_on(&"linux/arm64".parse().unwrap()));
        assert!(!of_32_bits(40).runs_on(&"linux/amd64".parse().unwrap()));
        assert_eq!(of_32_bits(8).architecture(), "machine 8 of ELF");
    }
}
