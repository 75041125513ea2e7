//! A stand-in for `apache/spark`: its layout, with a shell and without Java and Spark.

use std::os::unix::fs::symlink;

use super::{Chain, docker, program};

/// What Spark's own script does, as far as a test looks at it.
const ENTRYPOINT: &str = "#!/bin/sh\ncase \"$1\" in\n  driver)\n    shift\n    echo \"user $(id -u)\"\n    echo \"path $PYTHONPATH\"\n    cat \"$@\"\n    ;;\n  executor)\n    ;;\nesac\n";

const DOCKERFILE: &str = "FROM scratch\nCOPY system/ /\nCOPY spark/ /\nCOPY python/ /\n\
    ENV PATH=/opt/java/openjdk/bin:/usr/local/bin:/usr/bin:/bin JAVA_HOME=/opt/java/openjdk JAVA_VERSION=jdk-17.0.12+7 SPARK_HOME=/opt/spark\n\
    WORKDIR /opt/spark/work-dir\nUSER 185\nENTRYPOINT [\"/opt/entrypoint.sh\"]\n";

/// The files of a stand-in, which a test may change before it is pushed.
pub(crate) struct StandIn {
    folder: tempfile::TempDir,
    architecture: &'static str,
}

impl StandIn {
    /// One with Spark 3.5.8 and Python 3.10.
    pub(crate) fn new() -> Self {
        let made = Self {
            folder: tempfile::tempdir().unwrap(),
            architecture: "amd64",
        };
        made.write("Dockerfile", DOCKERFILE);
        for path in ["system/bin/sh", "system/usr/bin/id", "system/bin/cat"] {
            made.program(path);
        }
        made.program("system/opt/java/openjdk/bin/java");
        made.write(
            "system/opt/java/openjdk/release",
            "JAVA_VERSION=\"17.0.12\"\n",
        );
        made.write("system/etc/os-release", "ID=ubuntu\nVERSION_ID=\"22.04\"\n");
        let libraries = "system/usr/lib/x86_64-linux-gnu";
        made.write(&format!("{libraries}/ld-linux-x86-64.so.2"), "the loader\n");
        let glibc = "GNU C Library (Ubuntu GLIBC 2.35) stable release version 2.35.\n";
        made.write(&format!("{libraries}/libc.so.6"), glibc);
        made.write("spark/opt/entrypoint.sh", ENTRYPOINT);
        made.executable("spark/opt/entrypoint.sh");
        for path in [
            "RELEASE",
            "jars/spark-core_2.12-3.5.8.jar",
            "python/pyspark/__init__.py",
            "python/lib/pyspark.zip",
            "python/lib/py4j-0.10.9.7-src.zip",
            "work-dir/.keep",
        ] {
            made.write(&format!("spark/opt/spark/{path}"), "");
        }
        made.program("python/usr/bin/python3.10");
        symlink("python3.10", made.path("python/usr/bin/python3")).unwrap();
        made.installed("spk_old", "1.0", true, &["spk-dep"]);
        made.installed("spk_dep", "1.0", false, &[]);
        made
    }

    pub(crate) fn path(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join(path)
    }

    /// Writes a file: its path begins with the layer, `system`, `spark` or `python`.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let file = self.path(path);
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(file, text).unwrap();
    }

    /// Removes a file or a folder.
    pub(crate) fn remove(&self, path: &str) {
        let path = self.path(path);
        if path.is_dir() && !path.is_symlink() {
            fs_err::remove_dir_all(path).unwrap();
        } else {
            fs_err::remove_file(path).unwrap();
        }
    }

    fn program(&self, path: &str) {
        self.write(path, "");
        fs_err::copy("/bin/busybox", self.path(path)).unwrap();
    }

    fn executable(&self, path: &str) {
        program("chmod", &["755", self.path(path).to_str().unwrap()]);
    }

    /// Describes a package as pip does.
    pub(crate) fn installed(&self, name: &str, version: &str, requested: bool, needs: &[&str]) {
        let folder =
            format!("python/usr/local/lib/python3.10/dist-packages/{name}-{version}.dist-info");
        let mut metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
        for name in needs {
            metadata.extend(["Requires-Dist: ", name, "\n"]);
        }
        self.write(&format!("{folder}/METADATA"), &metadata);
        if requested {
            self.write(&format!("{folder}/REQUESTED"), "");
        }
    }

    /// Builds it, and gives it a name in the daemon.
    pub(crate) fn build(&self, name: &str) {
        let folder = self.folder.path().to_str().unwrap();
        let platform = format!("linux/{}", self.architecture);
        docker(&[
            "build",
            "--quiet",
            "--no-cache",
            "--platform",
            &platform,
            "--tag",
            name,
            folder,
        ]);
    }

    /// The same for arm64: its programs say so, although they would not run there.
    pub(crate) fn for_arm64() -> Self {
        let made = Self {
            architecture: "arm64",
            ..Self::new()
        };
        for path in [
            "python/usr/bin/python3.10",
            "system/opt/java/openjdk/bin/java",
        ] {
            let mut program = fs_err::read(made.path(path)).unwrap();
            // `e_machine` of the ELF header.
            program[18] = 183;
            fs_err::write(made.path(path), program).unwrap();
        }
        made
    }

    /// Pushes it to a registry, and leaves nothing of it in the daemon.
    pub(crate) fn push(&self, reference: &str) {
        let local = format!(
            "sparkpack-test/{}:stand-in",
            reference.replace([':', '.', '/'], "-")
        );
        self.build(&local);
        let credentials = Chain::credentials();
        program(
            "skopeo",
            &[
                "copy",
                "--quiet",
                "--dest-tls-verify=false",
                "--dest-creds",
                &credentials,
                &format!("docker-daemon:{local}"),
                &format!("docker://{reference}"),
            ],
        );
        docker(&["rmi", "--force", &local]);
    }
}
