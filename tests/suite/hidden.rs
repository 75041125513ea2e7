//! What looks like a credential stops whatever would make or send an image, and what does not stops nothing.

use std::{collections::BTreeMap, process::Command};

use sparkpack::project::secrets::SecretRule;

use crate::support::{
    Index, Run, SETTLED, TestProject, count,
    credentials::{
        ALL, HEX, LETTERS, aws_id, aws_key, base64, drawn, jwt, pem, storage_key, token,
    },
    docker, give_variables, run, small,
};

const ROOT: &str = "registry.example/root:1";

/// A file, its content, and the rule and the line of what is found in it.
type Hidden = (&'static str, Vec<u8>, &'static str, usize);

fn put(project: &TestProject, path: &str, content: &[u8]) {
    let file = project.root().join("docker/side/all").join(path);
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    fs_err::write(file, content).unwrap();
}

fn text(text: impl AsRef<str>) -> Vec<u8> {
    text.as_ref().as_bytes().to_vec()
}

fn utf16(text: &str, unit: fn(u16) -> [u8; 2], mark: bool) -> Vec<u8> {
    let units = mark
        .then_some(0xfeff)
        .into_iter()
        .chain(text.encode_utf16());
    units.flat_map(unit).collect()
}

fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    use std::io::Write as _;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in members {
        writer
            .start_file(*name, zip::write::SimpleFileOptions::default())
            .unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn notebook(line: &str) -> String {
    let source = serde_json::to_string(&[line]).unwrap();
    format!(
        "{{\n \"cells\": [\n  {{\"cell_type\": \"code\", \"source\": {source}}}\n ],\n \"nbformat\": 4\n}}\n"
    )
}

fn service_account() -> serde_json::Value {
    serde_json::json!({
        "type": "service_account",
        "project_id": "acme",
        "private_key_id": drawn(HEX, 40, 2),
        "private_key": pem("", "\n"),
        "client_email": "job@acme.iam.gserviceaccount.com",
    })
}

fn kubeconfig(user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: main\nclusters:\n- name: main\n  cluster: {{server: https://10.0.0.1}}\nusers:\n- name: job\n  user:\n    {user}\n"
    )
}

/// DER of a PKCS#12 file with a bag of this kind.
fn pfx(bag: u8) -> Vec<u8> {
    let mut bytes = vec![0x30, 0x82, 0x09, 0x51, 2, 1, 3, 0x30, 0x82, 9, 0x17];
    bytes.extend([
        0x06, 0x0b, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, bag,
    ]);
    bytes.extend(drawn(ALL, 600, 1).into_bytes());
    bytes
}

fn keystore(tag: u8) -> Vec<u8> {
    let mut bytes = vec![
        0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, tag, 0, 1, b'a',
    ];
    bytes.extend([0; 8]);
    bytes.extend([0, 5]);
    bytes.extend(b"X.509\0\0\0\x04abcd");
    bytes
}

fn keys() -> Vec<Hidden> {
    let key = |kind: &str| text(pem(kind, "\n"));
    let encrypted = pem("RSA ", "\n").replacen(
        '\n',
        "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00AA\n\n",
        1,
    );
    let mut pgp = pem("PGP ", "\n");
    pgp = pgp.replace(
        &format!("PRIVATE {}-----", "KEY"),
        &format!("PRIVATE {} BLOCK-----", "KEY"),
    );
    let putty = format!(
        "PuTTY-User-Key-{}: ssh-rsa\nComment: x\nPrivate-Lines: 2\n{}\n{}\n",
        "File-3",
        drawn(ALL, 64, 1),
        drawn(ALL, 64, 2)
    );
    let account = service_account();
    let pkcs8 = [
        &[
            0x30, 0x82, 4, 0xbd, 2, 1, 0, 0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1,
            1, 1, 5, 0,
        ][..],
        &[7; 900],
    ]
    .concat();
    vec![
        ("key/rsa.pem", key("RSA "), "private-key", 2),
        ("key/ec.pem", key("EC "), "private-key", 2),
        ("key/dsa.pem", key("DSA "), "private-key", 2),
        ("key/pkcs8.key", key(""), "private-key", 2),
        ("key/id_ed25519", key("OPENSSH "), "private-key", 2),
        ("key/pkcs8-encrypted", key("ENCRYPTED "), "private-key", 2),
        ("key/rsa-encrypted", text(encrypted), "private-key", 5),
        ("key/pgp.asc", text(pgp), "private-key", 2),
        ("key/putty.ppk", text(putty), "private-key", 4),
        ("key/crlf.pem", text(pem("", "\r\n")), "private-key", 2),
        (
            "key/code.py",
            text(format!("# a key\nKEY = '{}'\n", pem("", "\\n"))),
            "private-key",
            2,
        ),
        (
            "key/many.py",
            text(format!("KEY = (\n  \"{}\"\n)\n", pem("", "\\n\"\n  \""))),
            "private-key",
            3,
        ),
        (
            "key/values.yml",
            text(format!("tls:\n  key: |\n    {}\n", pem("", "\n    "))),
            "private-key",
            4,
        ),
        (
            "key/notebook.ipynb",
            text(notebook(&pem("", "\n"))),
            "private-key",
            3,
        ),
        (
            "key/secret.yml",
            text(format!("data:\n  tls.key: {}\n", base64(&pem("", "\n")))),
            "private-key",
            2,
        ),
        ("key/pkcs8.der", pkcs8, "private-key", 1),
        ("key/store.p12", pfx(2), "pkcs12", 1),
        ("key/store.pfx", pfx(1), "pkcs12", 1),
        ("key/named-otherwise.bin", pfx(2), "pkcs12", 1),
        ("key/store.jks", keystore(1), "java-keystore", 1),
        (
            "gcp/account.json",
            text(serde_json::to_string_pretty(&account).unwrap()),
            "gcp-service-account",
            3,
        ),
        (
            "gcp/minified.json",
            text(account.to_string()),
            "gcp-service-account",
            1,
        ),
        (
            "gcp/in-notebook.ipynb",
            text(notebook(&account.to_string())),
            "gcp-service-account",
            3,
        ),
        (
            "gcp/adc.json",
            text(format!(
                "{{\n\"client_id\": \"1\",\n\"refresh_token\": \"1//{}\",\n\"type\": \"authorized_user\"\n}}",
                drawn(ALL, 60, 4)
            )),
            "gcp-user-credentials",
            3,
        ),
        (
            "gcp/maps.js",
            text(format!(
                "\nconst key = '{}';\n",
                token(&format!("AI{}", "za"), 35)
            )),
            "gcp-api-key",
            2,
        ),
        (
            "gcp/oauth.json",
            text(format!(
                "{{\"client_secret\":\"{}\"}}",
                token(&format!("GOC{}-", "SPX"), 28)
            )),
            "gcp-client-secret",
            1,
        ),
    ]
}

fn clouds() -> Vec<Hidden> {
    let id = aws_id();
    let key = aws_key();
    let account = storage_key();
    vec![
        (
            "aws/id.py",
            text(format!("a = 1\nID = '{id}'\n")),
            "aws-access-key",
            2,
        ),
        (
            "aws/temporary",
            text(id.replace("AKIA", "ASIA")),
            "aws-access-key",
            1,
        ),
        (
            "aws/id.env.txt",
            text(format!("AWS_ACCESS_KEY_ID={id}\n")),
            "aws-access-key",
            1,
        ),
        (
            "aws/credentials",
            text(format!("[default]\naws_secret_access_key = {key}\n")),
            "aws-secret-key",
            2,
        ),
        (
            "aws/compose.yml",
            text(format!(
                "environment:\n  AWS_SECRET_ACCESS_KEY: \"{key}\"\n"
            )),
            "aws-secret-key",
            2,
        ),
        (
            "aws/spark-defaults.conf",
            text(format!("spark.x 1\nspark.hadoop.fs.s3a.secret.key {key}\n")),
            "aws-secret-key",
            2,
        ),
        (
            "aws/session.py",
            text(format!("Session(aws_secret_access_key='{key}')\n")),
            "aws-secret-key",
            1,
        ),
        (
            "aws/spark.py",
            text(format!("conf.set(\"fs.s3a.secret.key\", \"{key}\")\n")),
            "aws-secret-key",
            1,
        ),
        (
            "aws/.boto",
            text(format!("[Credentials]\n\ngs_secret_access_key = {key}\n")),
            "aws-secret-key",
            3,
        ),
        (
            "azure/connection.txt",
            text(format!(
                "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={account};EndpointSuffix=core.windows.net"
            )),
            "azure-storage-key",
            1,
        ),
        (
            "azure/spark-defaults.conf",
            text(format!(
                "spark.hadoop.fs.azure.account.key.acme.dfs.core.windows.net {account}\n"
            )),
            "azure-storage-key",
            1,
        ),
        (
            "azure/conf.py",
            text(format!(
                "\nspark.conf.set('fs.azure.account.key.acme.blob.core.windows.net', '{account}')\n"
            )),
            "azure-storage-key",
            2,
        ),
        (
            "azure/bus.txt",
            text(format!(
                "Endpoint=sb://a/;SharedAccessKeyName=k;SharedAccessKey={}\n",
                base64(&drawn(ALL, 32, 9))
            )),
            "azure-storage-key",
            1,
        ),
        (
            "azure/app.py",
            text(format!("secret = 'abc8Q~{}'\n", drawn(ALL, 34, 9))),
            "azure-client-secret",
            1,
        ),
        (
            "databricks/token.txt",
            text(format!("da{}{}\n", "pi", drawn(HEX, 32, 8))),
            "databricks-token",
            1,
        ),
        (
            "databricks/newer.txt",
            text(format!("t=da{}{}-2\n", "pi", drawn(HEX, 32, 8))),
            "databricks-token",
            1,
        ),
        (
            "databricks/.databrickscfg",
            text("[DEFAULT]\nhost = https://a.cloud\nclient_secret = s3cr3tValue9\n"),
            "databricks-token",
            3,
        ),
    ]
}

fn forges() -> Vec<Hidden> {
    let github = |kind: &str| text(format!("x\n{}\n", token(&format!("gh{kind}_"), 36)));
    let slack = format!(
        "xo{}-{}-{}-{}",
        "xb",
        drawn("123456789", 12, 3),
        drawn("123456789", 12, 4),
        drawn(ALL, 24, 5)
    );
    vec![
        ("forge/p", github("p"), "github-token", 2),
        ("forge/o", github("o"), "github-token", 2),
        ("forge/u", github("u"), "github-token", 2),
        ("forge/s", github("s"), "github-token", 2),
        ("forge/r", github("r"), "github-token", 2),
        (
            "forge/fine",
            text(format!(
                "github_{}_{}_{}",
                "pat",
                drawn(ALL, 22, 1),
                drawn(ALL, 59, 2)
            )),
            "github-token",
            1,
        ),
        (
            "forge/gitlab",
            text(token(&format!("gl{}-", "pat"), 20)),
            "gitlab-token",
            1,
        ),
        (
            "forge/requirements.txt",
            text(format!(
                "six\n--index-url https://x:{}@gitlab.acme.io/simple\n",
                token(&format!("gl{}-", "pat"), 20)
            )),
            "url-password",
            2,
        ),
        (
            "forge/pypi",
            text(token(&format!("py{}-AgEIcHlwaS5vcmc", "pi"), 120)),
            "pypi-token",
            1,
        ),
        (
            "forge/npm",
            text(token(&format!("np{}_", "m"), 36)),
            "npm-token",
            1,
        ),
        (
            "forge/.npmrc",
            text(format!(
                "//npm.acme.io/:_auth{}={}\n",
                "Token",
                drawn(ALL, 36, 21)
            )),
            "npm-token",
            1,
        ),
        ("forge/slack", text(slack), "slack-token", 1),
        (
            "forge/hook",
            text(format!(
                "https://hooks.slack.com/services/T0{}/B0{}/{}",
                "AAAA1111",
                "BBBB2222",
                drawn(ALL, 24, 6)
            )),
            "slack-token",
            1,
        ),
        (
            "forge/stripe",
            text(token(&format!("sk_{}_", "live"), 24)),
            "stripe-key",
            1,
        ),
        (
            "forge/hugging",
            text(format!("h{}_{}", "f", drawn(LETTERS, 34, 6))),
            "hugging-face-token",
            1,
        ),
        (
            "forge/hub",
            text(token(&format!("dckr_{}_", "pat"), 27)),
            "docker-hub-token",
            1,
        ),
        (
            "forge/vault",
            text(token(&format!("hv{}.", "s"), 90)),
            "vault-token",
            1,
        ),
        (
            "forge/openai",
            text(format!(
                "sk-{}T3Blbk{}{}",
                drawn(ALL, 20, 1),
                "FJ",
                drawn(ALL, 20, 2)
            )),
            "openai-key",
            1,
        ),
        (
            "forge/jwt",
            text(format!(
                "token:\n  {}\n",
                jwt("{\"iss\":\"kubernetes/serviceaccount\",\"sub\":\"job\"}")
            )),
            "jwt",
            2,
        ),
    ]
}

fn files() -> Vec<Hidden> {
    let auth = base64("deploy:s3cr3tPa55");
    let config =
        format!("{{\n \"auths\": {{\n  \"reg.acme.io\": {{\"auth\": \"{auth}\"}}\n }}\n}}\n");
    let token = drawn(ALL, 40, 31);
    let large = format!(
        "{}\nid = '{}'\n",
        "0123456789 nothing here\n".repeat(100_000),
        aws_id()
    );
    let line = format!("é = 1\nID = '{}'\n", aws_id());
    vec![
        (".env", text("# settings\nDB_PASSWORD=x\n"), "env-file", 2),
        ("a/.env.production", text("A=1\n"), "env-file", 1),
        (
            "home/.netrc",
            text("machine pypi.acme.io\nlogin me\npassword s3cr3t99\n"),
            "netrc",
            3,
        ),
        (
            "home/_netrc",
            text("machine a login me password s3cr3t99\n"),
            "netrc",
            1,
        ),
        (
            "home/.pypirc",
            text("[acme]\nusername = me\npassword = s3cr3t99\n"),
            "pypirc",
            3,
        ),
        (
            "home/.pgpass",
            text("db.acme.io:5432:*:me:s3cr3t99\n"),
            "pgpass",
            1,
        ),
        (
            "home/.docker/config.json",
            text(&config),
            "docker-config",
            3,
        ),
        (
            "home/dockercfg.min.json",
            text(config.replace(['\n', ' '], "")),
            "docker-config",
            1,
        ),
        (
            "home/.kube/config",
            text(kubeconfig(&format!("token: {token}"))),
            "kubeconfig",
            10,
        ),
        (
            "home/kube.password",
            text(kubeconfig("password: s3cr3tPa55")),
            "kubeconfig",
            10,
        ),
        (
            "home/kube.key",
            text(kubeconfig(&format!(
                "client-key-data: {}",
                base64(&pem("RSA ", "\n"))
            ))),
            "kubeconfig",
            10,
        ),
        (
            "home/.git-credentials",
            text("https://me:s3cr3t99@git.acme.io\n"),
            "url-password",
            1,
        ),
        (
            "urls/db.py",
            text("\n\nURL = 'postgresql+psycopg2://app:s3cr3t-Pa55@db.acme.io:5432/orders'\n"),
            "url-password",
            3,
        ),
        (
            "urls/encoded_db.py",
            text("\n\nURL = 'postgresql+psycopg2://app:p%40ss-W0rd9xQ@db.acme.io:5432/orders'\n"),
            "url-password",
            3,
        ),
        (
            "urls/redis.txt",
            text("redis://:s3cr3tPa55@cache.acme.io\n"),
            "url-password",
            1,
        ),
        (
            "urls/pip.conf",
            text("[global]\nindex-url = https://me:s3cr3tPa55@pypi.acme.io/simple\n"),
            "url-password",
            2,
        ),
        (
            "text/little.txt",
            utf16(&line, u16::to_le_bytes, true),
            "aws-access-key",
            2,
        ),
        (
            "text/big.txt",
            utf16(&line, u16::to_be_bytes, true),
            "aws-access-key",
            2,
        ),
        (
            "text/little-unmarked.txt",
            utf16(&line, u16::to_le_bytes, false),
            "aws-access-key",
            2,
        ),
        (
            "text/big-unmarked.txt",
            utf16(&line, u16::to_be_bytes, false),
            "aws-access-key",
            2,
        ),
        ("text/large.txt", text(large), "aws-access-key", 100_002),
        (
            "text/binary.bin",
            [&[0, 1, 2, 255, 254][..], aws_id().as_bytes(), &[0, 0]].concat(),
            "aws-access-key",
            1,
        ),
        (
            "text/notebook.ipynb",
            text(notebook(&format!("key = \"{}\"\n", aws_id()))),
            "aws-access-key",
            3,
        ),
    ]
}

/// What is found, by file, rule and line.
fn found(run: &Run) -> BTreeMap<String, (String, usize)> {
    let lines = run
        .stderr
        .lines()
        .filter_map(|line| line.strip_prefix("error[E114]: "));
    let found = lines.map(|line| {
        let mut parts = line.splitn(4, ':');
        let path = parts
            .next()
            .unwrap()
            .strip_prefix("docker/side/all/")
            .unwrap();
        let line_number = parts.next().unwrap().parse().unwrap();
        let rule = line.split("(`").nth(1).unwrap().split('`').next().unwrap();
        (path.to_owned(), (rule.to_owned(), line_number))
    });
    found.collect()
}

#[test]
fn what_looks_like_a_credential_is_told_with_its_rule_and_line() {
    let project = small::with_folder();
    let all: Vec<Hidden> = [keys(), clouds(), forges(), files()].concat();
    assert!(all.len() >= 80, "{}", all.len());
    for (path, content, ..) in &all {
        put(&project, path, content);
    }
    let run = project.run(&["plan"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    let found = found(&run);
    let wanted = all
        .iter()
        .map(|(path, _, rule, line)| ((*path).to_owned(), ((*rule).to_owned(), *line)));
    let wanted: BTreeMap<String, (String, usize)> = wanted.collect();
    for (path, wanted) in &wanted {
        assert_eq!(found.get(path), Some(wanted), "{path}");
    }
    assert_eq!(found, wanted);
    count("P32", "credentials that are found", all.len(), &[]);
}

/// What only looks like a credential at first sight.
fn harmless() -> Vec<(&'static str, Vec<u8>)> {
    let marker = format!("-----BEGIN RSA PRIVATE {}-----", "KEY");
    let certificate = pem("", "\n").replace(&format!("PRIVATE {}", "KEY"), "CERTIFICATE");
    let public = pem("", "\n").replace(&format!("PRIVATE {}", "KEY"), "PUBLIC KEY");
    let example = format!("AKIA{}EXAMPLE", "IOSFODNN7");
    let emulator = format!(
        "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50u{}==",
        "SRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw"
    );
    let with_url = |url: &str| text(format!("URL = '{url}'\n"));
    let truststore = [
        &[0x30, 0x82, 0x09, 0x51, 2, 1, 3, 0x30, 0x82, 9, 0x17][..],
        drawn(ALL, 600, 1).as_bytes(),
    ]
    .concat();
    vec![
        ("key/certificate.pem", text(certificate)),
        ("key/public.pem", text(public)),
        (
            "key/marker.py",
            text(format!(
                "if text.startswith('{marker}'):\n    return load_the_key_that_is_in_this_file(text)\n"
            )),
        ),
        (
            "key/guide.md",
            text(format!("```\n{marker}\nMIIEowIBAAKCAQEAx...\n```\n")),
        ),
        (
            "key/empty.md",
            text(format!("{marker}\n<your key>\n-----END")),
        ),
        (
            "key/same.pem",
            text(format!("{marker}\n{}\n", "A".repeat(64))),
        ),
        (
            "key/words.md",
            text(format!("A PRIVATE {} is kept in a vault", "KEY")),
        ),
        ("key/truststore.p12", truststore),
        ("key/cacerts.jks", keystore(2)),
        (
            "key/id_rsa.pub",
            text(format!("ssh-rsa AAAAB3NzaC1yc2E{}", drawn(ALL, 300, 1))),
        ),
        (
            "key/cert.b64",
            text(base64("-----BEGIN CERTIFICATE-----\nMIIB\n")),
        ),
        (
            "aws/example.py",
            text(format!(
                "ID = '{example}'\nKEY = 'aws_secret_access_key=wJalrXUtnFEMI/K7MDENG/bPxRfiCY{}'",
                "EXAMPLEKEY"
            )),
        ),
        ("aws/xs.py", text(format!("AK{}{}", "IA", "X".repeat(16)))),
        ("aws/longer.txt", text(format!("{}AB", aws_id()))),
        ("aws/within.txt", text(format!("X{}", aws_id()))),
        ("aws/small.txt", text(aws_id().to_lowercase())),
        (
            "aws/hash.py",
            text(format!("secret = '{}'", drawn(HEX, 40, 1))),
        ),
        (
            "aws/variable.py",
            text("aws_secret_access_key = os.environ['AWS_SECRET_ACCESS_KEY']"),
        ),
        (
            "aws/variable.yml",
            text("AWS_SECRET_ACCESS_KEY: ${AWS_SECRET_ACCESS_KEY}"),
        ),
        (
            "aws/path.py",
            text("secret_path = 'a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/'"),
        ),
        (
            "aws/sha.txt",
            text(format!("secret: sha256-{}", drawn(ALL, 60, 1))),
        ),
        ("azure/emulator.txt", text(emulator)),
        (
            "azure/empty.txt",
            text("AccountName=a;AccountKey=;EndpointSuffix=core.windows.net"),
        ),
        (
            "azure/name.py",
            text("conf.set('fs.azure.account.key.acme.dfs.core.windows.net', key)"),
        ),
        ("azure/tilde.txt", text("abc8Q~short")),
        (
            "databricks/word.py",
            text("dapi = dapiclient.open_the_connection_to_the_server()"),
        ),
        (
            "databricks/zero.txt",
            text(format!("da{}{}", "pi", "0".repeat(32))),
        ),
        (
            "databricks/long.txt",
            text(format!("da{}{}", "pi", drawn(HEX, 40, 8))),
        ),
        (
            "forge/pattern.py",
            text("re.compile(r'ghp_[A-Za-z0-9]{36}')"),
        ),
        (
            "forge/xs.txt",
            text(format!("gh{}_{}", "p", "x".repeat(36))),
        ),
        (
            "forge/order.txt",
            text(format!(
                "gh{}_{}",
                "p", "abcdefghijklmnopqrstuvwxyz0123456789"
            )),
        ),
        ("forge/short.txt", text(token(&format!("gh{}_", "p"), 12))),
        (
            "forge/name.py",
            text("def ghs_client(): return graphs_client()"),
        ),
        ("forge/gitlab.txt", text("glpat-<token>")),
        ("forge/gitlab.md", text("glpat-xxxxxxxxxxxxxxxxxxxx")),
        ("forge/pypi.md", text("pypi-AgEIcHlwaS5vcmc...")),
        (
            "forge/.npmrc",
            text("//npm.acme.io/:_authToken=${NPM_TOKEN}\n"),
        ),
        (
            "forge/npm.rs",
            text("(\"_authToken\", tokens::npm_auth_token_of_2_kinds)"),
        ),
        (
            "forge/npm.py",
            text("npm_config_registry = npm_execute(command)"),
        ),
        (
            "forge/slack.md",
            text("xoxb-your-token-goes-here-and-nowhere-else"),
        ),
        (
            "forge/hook.md",
            text("https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"),
        ),
        ("forge/stripe.md", text("sk_live_...")),
        ("forge/test.md", text(token(&format!("sk_{}_", "test"), 24))),
        (
            "forge/hugging.py",
            text("hf_hub_download_the_model_from_the_hub(repo)"),
        ),
        (
            "forge/jwt.md",
            text(jwt("{\"sub\":\"1234567890\",\"name\":\"John Doe\"}")),
        ),
        ("forge/payload.md", text(jwt("{\"some\":\"payload\"}"))),
        ("forge/base64.json", text(base64("{\"a\": 1}.{\"b\": 2}"))),
        ("home/.env.example", text("DB_PASSWORD=secret\n")),
        ("home/.env.template", text("DB_PASSWORD=secret\n")),
        ("home/empty/.env", text("# nothing\n\n")),
        ("home/env.py", text("PASSWORD = get('PASSWORD')")),
        (
            "home/.netrc",
            text("machine a login me password <password>\n"),
        ),
        (
            "home/netrc.md",
            text("machine a login me password s3cr3t99\n"),
        ),
        (
            "home/.pypirc",
            text("[pypi]\nusername = __token__\npassword = ${TOKEN}\n"),
        ),
        ("home/.pgpass", text("#host:port:db:user:s3cr3tPa55\n")),
        (
            "home/.docker/config.json",
            text("{\"auths\": {\"reg.acme.io\": {}}, \"credsStore\": \"desktop\"}"),
        ),
        (
            "home/docker.md",
            text(format!(
                "\"auths\": {{\"r\": {{\"auth\": \"{}\"}}}}",
                base64("user:password")
            )),
        ),
        (
            "home/.kube/config",
            text(kubeconfig("exec: {command: gke-gcloud-auth-plugin}")),
        ),
        ("home/kube.md", text(kubeconfig("token: <token>"))),
        ("url/none.py", with_url("https://git.acme.io/x@y:z")),
        ("url/user.py", with_url("https://me@git.acme.io/")),
        (
            "url/words.py",
            with_url("postgresql://user:password@db.acme.io/x"),
        ),
        ("url/scott.py", with_url("mysql://scott:tiger@db.acme.io/x")),
        (
            "url/local.py",
            with_url("postgresql://app:s3cr3tPa55@localhost:5432/x"),
        ),
        (
            "url/example.py",
            with_url("postgresql://app:s3cr3tPa55@db.example.com/x"),
        ),
        (
            "url/variable.py",
            with_url("postgresql://app:${PASSWORD}@db.acme.io/x"),
        ),
        (
            "url/format.py",
            with_url("postgresql://{user}:{password}@db.acme.io/x"),
        ),
        (
            "url/percent.py",
            with_url("postgresql://my-login:my-pa%2Fssword@db.acme.io/x"),
        ),
        (
            "url/formatted.py",
            with_url("postgresql://%s:%s@db.acme.io/x"),
        ),
        (
            "url/same.py",
            with_url("amqp://service7:service7@queue.acme.io/x"),
        ),
        ("url/stars.py", with_url("https://me:***@git.acme.io/")),
        ("url/port.py", with_url("http://10.0.0.1:8080/path@home")),
        (
            "text/sixteen.txt",
            utf16("nothing in here\n", u16::to_le_bytes, true),
        ),
        ("text/zeros.bin", vec![0; 100_000]),
        ("text/not-a.zip", b"PK\x03\x04 but nothing else".to_vec()),
        ("text/plain.zip", zipped(&[("a.py", b"VALUE = 1\n")])),
    ]
}

#[test]
fn what_only_looks_like_one_stops_nothing() {
    let project = small::with_folder();
    let all = harmless();
    assert!(all.len() >= 60, "{}", all.len());
    for (path, content) in &all {
        put(&project, path, content);
    }
    let run = project.run(&["plan"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(!run.stderr.contains("E114"), "{}", run.stderr);
    let what = "what only looks like a credential";
    count("P32", what, all.len(), &[]);
}

/// The lines of the errors about credentials.
fn errors(run: &Run) -> Vec<&str> {
    let lines = run.stderr.lines();
    lines
        .filter(|line| line.starts_with("error[E114]"))
        .collect()
}

/// Writes `[secrets] allow` with these entries.
fn allow(project: &TestProject, entries: &[(&str, &str)]) {
    let text = project.read("sparkpack.toml");
    let text = text.split("\n[secrets]").next().unwrap();
    let entries = entries
        .iter()
        .map(|(path, rule)| format!("{{ path = \"{path}\", rule = \"{rule}\" }}"));
    let entries: Vec<String> = entries.collect();
    project.write(
        "sparkpack.toml",
        &format!("{text}\n[secrets]\nallow = [{}]\n", entries.join(", ")),
    );
}

#[test]
fn every_verb_that_makes_sends_or_judges_an_image_stops_and_the_others_do_not() {
    let project = small::with_folder();
    project.write(
        "src/jobs/config.py",
        &format!("# the key\nKEY = '{}'\n", aws_id()),
    );
    for verb in [
        &["plan"][..],
        &["check"],
        &["package"],
        &["build", "--output", "oci:images"],
        &["push"],
    ] {
        let run = project.run(verb);
        assert_eq!(run.code, 2, "{verb:?}: {}", run.stderr);
        let errors = errors(&run);
        assert_eq!(errors.len(), 1, "{verb:?}: {}", run.stderr);
        let wanted = "error[E114]: src/jobs/config.py:2:8: looks like the ID of an access key of AWS (`aws-access-key`): AKIA… (20 characters)";
        assert_eq!(errors[0], wanted, "{verb:?}");
        let allowed = "if it is none, write `allow = [{ path = \"src/jobs/config.py\", rule = \"aws-access-key\" }]` under `[secrets]` in sparkpack.toml";
        assert!(run.stderr.contains(allowed), "{}", run.stderr);
        assert!(
            !project.root().join("dist/jobs.zip").exists()
                && !project.root().join("images").exists()
        );
    }
    for verb in [&["tags"][..], &["pin"]] {
        let run = project.succeed(verb);
        assert!(errors(&run).is_empty(), "{}", run.stderr);
    }
}

#[test]
fn all_is_told_at_once_and_no_value_is_told_or_kept_anywhere() {
    let project = small::with_folder();
    let (id, key) = (aws_id(), aws_key());
    let password = "s3cr3t-Pa55-canary";
    put(
        &project,
        "a.py",
        format!("ID = '{id}'\nsecret_key = '{key}'\n").as_bytes(),
    );
    put(
        &project,
        ".env",
        format!("PASSWORD={password}\n").as_bytes(),
    );
    put(
        &project,
        "url.txt",
        format!("amqp://app:{password}@queue.acme.io\n").as_bytes(),
    );
    let run = project.run(&["plan", "-vvv"]);
    assert_eq!(errors(&run).len(), 4, "{}", run.stderr);
    let mut told = vec![("the run", [run.stdout, run.stderr].concat().into_bytes())];
    for entry in walkdir::WalkDir::new(project.cache()) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            told.push(("the cache", fs_err::read(entry.path()).unwrap()));
        }
    }
    assert!(told.len() > 2, "the cache has something");
    for (whose, bytes) in told {
        let text = String::from_utf8_lossy(&bytes);
        for secret in [&id[..8], &key[..8], &password[..8]] {
            assert!(!text.contains(secret), "{whose} has {secret}");
        }
    }
}

#[test]
fn what_is_allowed_is_allowed_by_path_and_rule_together() {
    let project = small::with_folder();
    put(
        &project,
        "conf/a.py",
        format!("ID = '{}'\n", aws_id()).as_bytes(),
    );
    put(&project, "conf/b[1].pem", pem("", "\n").as_bytes());
    let left = |entries: &[(&str, &str)]| {
        allow(&project, entries);
        let run = project.run(&["plan"]);
        let warnings = run
            .stderr
            .lines()
            .filter(|line| line.starts_with("warning[W127]"))
            .count();
        (errors(&run).len(), warnings)
    };
    assert_eq!(left(&[]), (2, 0));
    let id = ("docker/side/all/conf/a.py", "aws-access-key");
    assert_eq!(left(&[id]), (1, 0));
    assert_eq!(
        left(&[id, ("docker/side/all/conf/b[[]1[]].pem", "private-key")]),
        (0, 0),
        "as the hint says"
    );
    assert_eq!(
        left(&[id, ("docker/**/*.pem", "private-key")]),
        (0, 0),
        "a glob"
    );
    assert_eq!(
        left(&[
            ("./docker/side/all/", "aws-access-key"),
            ("docker", "private-key")
        ]),
        (0, 0),
        "folders"
    );
    assert_eq!(
        left(&[("docker/side/all/conf/a.py", "private-key")]),
        (2, 1),
        "another rule"
    );
    assert_eq!(
        left(&[("conf/a.py", "aws-access-key")]),
        (2, 1),
        "another path"
    );
    assert_eq!(
        left(&[
            id,
            ("docker/**/*.pem", "private-key"),
            ("src/gone.py", "jwt")
        ]),
        (0, 1),
        "a stale one"
    );
    let run = project.run(&["plan"]);
    let wanted = "nothing in `src/gone.py` looks like a signed JSON web token (`jwt`) any more";
    assert!(run.stderr.contains(wanted), "{}", run.stderr);
    let run = project.run(&["plan", "ds"]);
    assert!(
        !run.stderr.contains("W127"),
        "of one image nobody knows: {}",
        run.stderr
    );
}

#[test]
fn a_rule_that_there_is_not_is_refused() {
    let project = small::with_folder();
    for (rule, hint) in [
        ("aws-acces-key", "did you mean `aws-access-key`?"),
        ("*", "the rules are `aws-access-key`, "),
    ] {
        allow(&project, &[("src", rule)]);
        let run = project.run(&["tags"]);
        assert_eq!(run.code, 2);
        let message = format!("there is no rule `{rule}` for secrets");
        assert!(
            run.stderr.contains("error[E022]: sparkpack.toml:")
                && run.stderr.contains(&message)
                && run.stderr.contains(hint),
            "{}",
            run.stderr
        );
    }
    allow(&project, &[("[a-", "jwt")]);
    assert!(project.run(&["tags"]).stderr.contains("`[a-` is no glob"));
}

#[test]
fn what_gets_into_no_image_is_not_looked_at() {
    let project = small::with_folder();
    project.write("docker/side/other.env", &pem("", "\n"));
    project.write(".env", "A=1\n");
    project.write("src/jobs/tests/key.pem", &pem("", "\n"));
    project.write("notes.txt", &aws_id());
    let run = project.succeed(&["plan"]);
    assert!(errors(&run).is_empty());
    project.write(".dockerignore", "docker/side/all/.env\n");
    put(&project, ".env", b"A=1\n");
    project.succeed(&["plan"]);
    fs_err::remove_file(project.root().join(".dockerignore")).unwrap();
    assert_eq!(errors(&project.run(&["plan"])).len(), 1);
}

#[test]
fn lines_of_dockerfiles_and_build_arguments_are_looked_at() {
    let project = small::with_folder();
    let dockerfile = project.read("docker/side/Dockerfile");
    let told = |lines: &str, entries: &[(&str, &str)]| {
        project.write("docker/side/Dockerfile", &format!("{dockerfile}{lines}"));
        allow(&project, entries);
        project.run(&["plan"]).stderr
    };
    let line = format!("ENV KEY_ID={}\n", aws_id());
    let run = told(&line, &[]);
    assert!(
        run.contains("error[E114]: docker/side/Dockerfile:3:12: looks like the ID"),
        "{run}"
    );
    assert!(!told(&line, &[("docker/side/Dockerfile", "aws-access-key")]).contains("error"));
    let run = told("ARG API_TOKEN=c4nary77\n", &[]);
    assert!(
        run.contains("error[E112]: docker/side/Dockerfile:3:1:")
            && run.contains("rule = \"build-variable\""),
        "{run}"
    );
    let run = told(
        "ARG API_TOKEN=c4nary77\n",
        &[("docker/side/Dockerfile", "build-variable")],
    );
    assert!(!run.contains("error") && !run.contains("W127"), "{run}");
    assert!(!told("ARG API_TOKEN\n", &[]).contains("error"));
    for (argument, value, rule) in [
        ("API_TOKEN", "c4nary77".to_owned(), "build-variable"),
        ("PLACE", aws_id(), "aws-access-key"),
    ] {
        project.edit(
            "sparkpack.toml",
            "[images.side]\n",
            &format!("[images.side]\nbuild-args.{argument} = \"{value}\"\n"),
        );
        let run = told(&format!("ARG {argument}\n"), &[]);
        assert!(
            run.contains(&format!("the build argument `{argument}` is ")) && run.contains(rule),
            "{run}"
        );
        assert!(!run.contains(&value), "{run}");
        let run = told(&format!("ARG {argument}\n"), &[("sparkpack.toml", rule)]);
        assert!(!run.contains("error"), "{run}");
        project.edit(
            "sparkpack.toml",
            &format!("build-args.{argument} = \"{value}\"\n"),
            "",
        );
    }
}

#[test]
fn archives_and_local_sources_are_looked_into() {
    let project = small::with_folder();
    let inner = zipped(&[("inner/key.pem", pem("", "\n").as_bytes())]);
    let own = zipped(&[
        ("own/__init__.py", b""),
        (
            "own/config.py",
            format!("\nID = '{}'\n", aws_id()).as_bytes(),
        ),
        ("own/more.zip", &inner),
    ]);
    put(&project, "own-1.0-py3-none-any.whl", &own);
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::default(),
    ));
    let content = format!("ID = '{}'\n", aws_id());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_cksum();
    tar.append_data(&mut header, "lib-1.0/lib.py", content.as_bytes())
        .unwrap();
    let inner = zipped(&[("key.pem", pem("", "\n").as_bytes())]);
    let mut header = tar::Header::new_gnu();
    header.set_size(inner.len() as u64);
    header.set_cksum();
    tar.append_data(&mut header, "lib-1.0/More.JAR", &*inner)
        .unwrap();
    put(
        &project,
        "lib-1.0.tar.gz",
        &tar.into_inner().unwrap().finish().unwrap(),
    );
    project.write(
        "shared/tool/conf.py",
        &format!("# here\nID = '{}'\n", aws_id()),
    );
    project.edit(
        "sparkpack.toml",
        "[images.base]",
        "[sources.shared]\npath = \"shared\"\n\n[images.base]",
    );
    let dockerfile = project.read("docker/side/Dockerfile");
    project.write(
        "docker/side/Dockerfile",
        &format!("{dockerfile}COPY --from=shared / /shared/\n"),
    );
    project.edit(
        "sparkpack.toml",
        "[images.side]\n",
        "[images.side]\ncontexts.shared = \"shared\"\n",
    );
    let run = project.run(&["plan"]);
    let places: Vec<&str> = errors(&run)
        .iter()
        .map(|line| line.split(": ").nth(1).unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "docker/side/all/lib-1.0.tar.gz/lib-1.0/More.JAR/key.pem:2:1",
            "docker/side/all/lib-1.0.tar.gz/lib-1.0/lib.py:1:7",
            "docker/side/all/own-1.0-py3-none-any.whl/own/config.py:2:7",
            "docker/side/all/own-1.0-py3-none-any.whl/own/more.zip/inner/key.pem:2:1",
            "shared/tool/conf.py:2:7",
        ],
        "{}",
        run.stderr
    );
    allow(
        &project,
        &[
            ("docker/side/all/*.whl", "aws-access-key"),
            ("**/more.zip/**", "private-key"),
            ("**/More.JAR/**", "private-key"),
            ("docker/**/lib.py", "aws-access-key"),
            ("shared", "aws-access-key"),
        ],
    );
    project.succeed(&["plan"]);
}

#[test]
fn wheels_of_an_index_and_of_the_project_are_looked_into() {
    let index = Index::new();
    let content = format!("\nID = '{}'\n", aws_id());
    let key = pem("", "\n");
    let members = [
        ("spk_own/conf.py", content.as_bytes(), false),
        ("spk_own/tests/key.pem", key.as_bytes(), false),
    ];
    let wheel = crate::wheels::wheel("spk_own", &members);
    index.put("/simple/spk-own/spk_own-1.0-py3-none-any.whl", &wheel);
    let project = TestProject::with_index(&index, "uv", "requirements.txt", "");
    project.write("requirements.txt", "spk-own\n");
    let run = project.run(&["package"]);
    let wanted = "error[E114]: spk_own-1.0-py3-none-any.whl/spk_own/conf.py:2:7: looks like the ID of an access key";
    assert_eq!(
        (errors(&run).len(), run.code),
        (1, 2),
        "the key of its tests opens nothing: {}",
        run.stderr
    );
    assert!(errors(&run)[0].starts_with(wanted), "{}", run.stderr);
    assert!(!project.root().join("dist/libs.zip").exists());
    allow(&project, &[("spk_own-*.whl", "aws-access-key")]);
    project.succeed(&["package"]);
    // A wheel of the project: its tests are its own too.
    fs_err::create_dir(project.root().join("vendor")).unwrap();
    fs_err::write(
        project.root().join("vendor/spk_own-1.0-py3-none-any.whl"),
        &wheel,
    )
    .unwrap();
    project.write(
        "requirements.txt",
        "./vendor/spk_own-1.0-py3-none-any.whl\n",
    );
    let run = project.run(&["package"]);
    let places: Vec<&str> = errors(&run)
        .iter()
        .map(|line| line.split(": ").nth(1).unwrap())
        .collect();
    let wanted = ["conf.py:2:7", "tests/key.pem:2:1"]
        .map(|place| format!("vendor/spk_own-1.0-py3-none-any.whl/spk_own/{place}"));
    assert_eq!(places, wanted, "{}", run.stderr);
}

fn with_id(text: &str) -> Vec<u8> {
    format!("{text}ID = '{}'\n", aws_id()).into_bytes()
}

/// A zip file with a member whose header has another number at a place: the first is that in the member's own header.
fn patched(content: &[u8], (own, listed): (usize, usize), value: u16) -> Vec<u8> {
    use std::io::Write as _;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    writer.start_file("in.txt", stored).unwrap();
    writer.write_all(content).unwrap();
    let mut bytes = writer.finish().unwrap().into_inner();
    let directory = memchr::memmem::find(&bytes, b"PK\x01\x02").unwrap();
    for place in [own, directory + listed] {
        bytes[place..place + 2].copy_from_slice(&value.to_le_bytes());
    }
    bytes
}

/// A zip file with these bytes between its last member and its directory.
fn with_gap(members: &[(&str, &[u8])], gap: &[u8]) -> Vec<u8> {
    let mut bytes = zipped(members);
    let end = bytes.len() - 22;
    let place = bytes[end + 16..end + 20].try_into().unwrap();
    let directory = u32::from_le_bytes(place);
    let moved = directory + u32::try_from(gap.len()).unwrap();
    bytes[end + 16..end + 20].copy_from_slice(&moved.to_le_bytes());
    let directory = usize::try_from(directory).unwrap();
    bytes.splice(directory..directory, gap.iter().copied());
    bytes
}

/// Zip files in one another, so many.
fn nested(content: &[u8], depth: usize) -> Vec<u8> {
    (0..depth).fold(content.to_vec(), |inner, _| zipped(&[("x", &inner)]))
}

fn tarred(name: &str, content: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, name, content).unwrap();
    tar.into_inner().unwrap()
}

fn gzipped(content: &[u8], comment: &str) -> Vec<u8> {
    use std::io::Write as _;
    let builder = flate2::GzBuilder::new().comment(comment);
    let mut writer = builder.write(Vec::new(), flate2::Compression::default());
    writer.write_all(content).unwrap();
    writer.finish().unwrap()
}

fn zstd(content: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(content, ruzstd::encoding::CompressionLevel::Fastest)
}

/// Files with one credential each, and where it is told.
fn behind() -> Vec<(&'static str, Vec<u8>, String)> {
    let id = with_id("");
    let one = zipped(&[("a.py", &id)]);
    let plain: &[(&str, &[u8])] = &[("a.py", b"VALUE = 1\n")];
    let mut damaged = patched(&with_id("#"), (6, 8), 0);
    let sharp = damaged.iter().position(|byte| *byte == b'#').unwrap();
    damaged[sharp] = b' ';
    let token = token(&format!("gh{}_", "p"), 36);
    let wide = |before: &[u8], unit, after: &[u8]| {
        let text = utf16(&format!("x\r\nID = {}\r\n", aws_id()), unit, false);
        [before, &text, after].concat()
    };
    let binary = [0x90; 5001];
    let kanji = "\u{6f22}\u{5b57}".repeat(40);
    let japanese = utf16(
        &format!("{kanji} {} {kanji}", aws_id()),
        u16::to_le_bytes,
        false,
    );
    let cases = [
        (
            "tool.pyz",
            [b"#!/usr/bin/env python3\n", &*one].concat(),
            "/a.py:1:7",
        ),
        (
            "sfx.sh",
            [&*with_id("#!/bin/sh\n"), &zipped(plain)].concat(),
            ":2:7",
        ),
        (
            "large.run",
            [&vec![b' '; 3 << 20], &*one].concat(),
            "/a.py:1:7",
        ),
        ("after.zip", [&*zipped(plain), &id].concat(), ":"),
        ("between.zip", with_gap(plain, &id), ":"),
        ("sum.zip", damaged, "/in.txt:1:8"),
        (
            "unnamed.zip",
            zipped(&[("data.bin", &one)]),
            "/data.bin/a.py:1:7",
        ),
        (
            "prefixed.zip",
            zipped(&[("run", &[b"#!x\n", &*one].concat())]),
            "/run/a.py:1:7",
        ),
        ("six.zip", nested(&id, 6), "/x/x/x/x/x/x:1:7"),
        ("zstd.zip", patched(&zstd(&id), (8, 10), 93), "/in.txt:1:7"),
        ("a.tar.zst", zstd(&tarred("a.py", &id)), "/a.py:1:7"),
        ("a.py.zst", zstd(&id), ":1:7"),
        ("a.tar", tarred("a.gz", &gzipped(&id, "")), "/a.gz:1:7"),
        (
            "two.tar",
            [tarred("b", b""), tarred("a.gz", &gzipped(&id, ""))].concat(),
            "/a.gz:1:7",
        ),
        (
            "end.tar.gz",
            gzipped(&[&*tarred("b", b"1"), &id].concat(), ""),
            ":",
        ),
        ("comment.gz", gzipped(b"nothing", &aws_id()), ":1:"),
        ("after.gz", [&*gzipped(b"nothing", ""), &id].concat(), ":"),
        ("little.bin", wide(&binary, u16::to_le_bytes, &[]), ":2:6"),
        ("big.bin", wide(&binary, u16::to_be_bytes, &[]), ":2:6"),
        (
            "even.bin",
            wide(&binary[1..], u16::to_le_bytes, &binary),
            ":2:6",
        ),
        ("bare-little.txt", wide(&[], u16::to_le_bytes, &[]), ":2:6"),
        ("bare-big.txt", wide(&[], u16::to_be_bytes, &[]), ":2:6"),
        ("kanji.txt", japanese, ":1:"),
        ("mark.txt", [&[0xff, 0xfe], &*id].concat(), ":1:"),
    ];
    let mut all: Vec<_> = cases
        .into_iter()
        .map(|(path, content, place)| (path, content, format!("{path}{place}")))
        .collect();
    let name: &'static str = Box::leak(format!("names/{token}.txt").into_boxed_str());
    all.push((name, b"nothing".to_vec(), "names/ghp_….txt:1:1".into()));
    let folder: &'static str = Box::leak(format!("{token}/x.txt").into_boxed_str());
    all.push((folder, b"nothing".to_vec(), "ghp_…/x.txt:1:1".into()));
    let member = zipped(&[(&*format!("{token}.txt"), b"nothing")]);
    all.push(("member.zip", member, "member.zip/ghp_….txt:1:1".into()));
    let member = tarred(&format!("{token}.txt"), b"nothing");
    all.push(("member.tar", member, "member.tar/ghp_….txt:1:1".into()));
    all
}

#[test]
fn what_lies_around_or_deep_in_archives_in_names_and_in_utf_16_is_found() {
    let project = small::with_folder();
    let all = behind();
    for (path, content, _) in &all {
        put(&project, path, content);
    }
    let run = project.run(&["plan"]);
    let errors = errors(&run);
    for (path, _, place) in &all {
        let wanted = format!("error[E114]: docker/side/all/{place}");
        let is_told = errors.iter().any(|line| line.starts_with(&wanted));
        assert!(is_told, "{path}: {wanted}\n{}", run.stderr);
    }
    assert_eq!(errors.len(), all.len(), "each once: {}", run.stderr);
    let token = token(&format!("gh{}_", "p"), 36);
    assert!(!run.stderr.contains(&token), "{}", run.stderr);
    allow(
        &project,
        &[
            ("**", "aws-access-key"),
            ("docker/side/all/names/ghp_*.txt", "github-token"),
        ],
    );
    let left = project.run(&["plan"]);
    assert_eq!(self::errors(&left).len(), 3, "{}", left.stderr);
    count(
        "P32",
        "credentials around and deep in files",
        all.len(),
        &[],
    );
}

#[test]
fn passwords_of_urls_are_found_whatever_the_scheme_and_the_host_are() {
    let project = small::with_folder();
    let password = "s3cr3tPa55";
    let found = [
        "https://me:PASSWORD@[2001:db8::7]:8443/",
        "HTTPS://me:PASSWORD@[fd00::7]/",
        "ssh://git:PASSWORD@[fd00::7]:22/x.git",
        "git+https://me:PASSWORD@git.acme.io/x.git",
        "PostgreSQL://app:PASSWORD@db.acme.io/x",
        "postgresql+psycopg://app:PASSWORD@[fe80::7%25eth0]:5432/x",
        "jdbc:mysql://app:PASSWORD@db.acme.io:3306/x",
        "jdbc:postgresql://db.acme.io:5432/x?user=app&password=PASSWORD&ssl=true",
        "jdbc:sqlserver://db.acme.io:1433;databaseName=x;user=app;password=PASSWORD;",
        "JDBC:snowflake://acme.snowflakecomputing.com/?user=app&amp;PWD=PASSWORD",
        "jdbc:oracle:thin:app/PASSWORD@db.acme.io:1521:main",
        "jdbc:oracle:thin:app/PASSWORD@//db.acme.io:1521/main",
    ];
    let harmless = [
        "https://me:PASSWORD@[::1]:8443/",
        "https://user:password@[2001:db8::7]/",
        "https://me:${PASSWORD}@[2001:db8::7]/",
        "SSH://git:<password>@git.acme.io/x",
        "https://[2001:db8::7]:8443/x@y:z",
        "jdbc:postgresql://localhost/x?user=app&password=PASSWORD",
        "jdbc:postgresql://db.acme.io/x?user=app&password=${PASSWORD}",
        "jdbc:postgresql://db.acme.io/x?user=app&password=",
        "jdbc:postgresql://db.acme.io/x?passwordCharacterEncoding=utf8",
        "jdbc:oracle:thin:scott/tiger@db.acme.io:1521:main",
        "jdbc:derby:memory:x;password=PASSWORD",
    ];
    let text = |urls: &[&str]| {
        let lines = urls
            .iter()
            .map(|url| format!("URL = '{}'\n", url.replace("PASSWORD", password)));
        lines.collect::<String>()
    };
    put(&project, "found.py", text(&found).as_bytes());
    // A variable is named so, and not filled in.
    let bare = text(&harmless).replace(&format!("{{{password}}}"), "{PASSWORD}");
    put(&project, "harmless.py", bare.as_bytes());
    let run = project.run(&["plan"]);
    let wanted = (1..=found.len()).map(|line| format!("docker/side/all/found.py:{line}:"));
    let errors = errors(&run);
    for wanted in wanted {
        assert!(
            errors.iter().any(|line| line.contains(&wanted)),
            "{wanted} {}",
            run.stderr
        );
    }
    assert_eq!(errors.len(), found.len(), "{}", run.stderr);
    put(&project, "found.py", b"");
    let dockerfile = project.read("docker/side/Dockerfile");
    for (url, code) in [
        ("HTTPS://me:s3cr3tPa55@git.acme.io/x", "E112"),
        ("https://me:s3cr3tPa55@[2001:db8::7]:8443/x", "E112"),
        ("ssh://git:s3cr3tPa55@[fd00::7]:22/x.git", "E114"),
    ] {
        let line = format!("{dockerfile}RUN fetch {url}\n");
        project.write("docker/side/Dockerfile", &line);
        let run = project.run(&["plan"]);
        let wanted = format!("error[{code}]: docker/side/Dockerfile:");
        assert!(run.stderr.contains(&wanted), "{url}: {}", run.stderr);
        assert!(!run.stderr.contains(password), "{url}: {}", run.stderr);
    }
}

/// What is packed so that nothing here unpacks it, or lies behind a bound; and a part of what is told of it.
fn unsearched() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let junk = drawn(ALL, 300, 4).into_bytes();
    let begun = |magic: &[u8]| [magic, &junk].concat();
    let id = with_id("");
    let gz = gzipped(&drawn(ALL, 3000, 9).into_bytes(), "");
    let lost = zipped(&[("lost.py", &id)]);
    let lost = &lost[..memchr::memmem::find(&lost, b"PK\x01\x02").unwrap()];
    vec![
        ("a.tar.xz", begun(b"\xfd7zXZ\0"), "packed by xz"),
        ("a.tar.bz2", begun(b"BZh91AY&SY"), "packed by bzip2"),
        ("a.7z", begun(b"7z\xbc\xaf\x27\x1c"), "packed by 7-Zip"),
        ("a.rar", begun(b"Rar!\x1a\x07\x01\0"), "packed by rar"),
        ("a.lz4", begun(b"\x04\x22\x4d\x18"), "packed by lz4"),
        (
            "a.lzma",
            begun(b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0"),
            "packed by lzma",
        ),
        ("a.tar.Z", begun(b"\x1f\x9d\x90"), "packed by compress"),
        (
            "in.whl",
            zipped(&[("own/a.xz", &begun(b"\xfd7zXZ\0"))]),
            "packed by xz",
        ),
        (
            "in.tar.gz",
            gzipped(&tarred("a.bz2", &begun(b"BZh91AY&SY")), ""),
            "packed by bzip2",
        ),
        ("bzip2.zip", patched(&junk, (8, 10), 12), "packed by bzip2"),
        ("lzma.zip", patched(&junk, (8, 10), 14), "packed by lzma"),
        ("locked.zip", patched(&junk, (6, 8), 1), "it is encrypted"),
        ("cut.gz", gz[..gz.len() / 2].to_vec(), "it is damaged"),
        (
            "cut.zip",
            zipped(&[("a", &junk)])[..200].to_vec(),
            "a zip file that is damaged",
        ),
        (
            "lost.zip",
            with_gap(&[("a.py", b"1")], lost),
            "its directory does not name",
        ),
        ("deep.zip", nested(b"1", 12), "an archive in 10 others"),
    ]
}

#[test]
fn what_cannot_be_searched_is_told_once_with_its_reason_and_can_be_allowed() {
    let project = small::with_folder();
    let all = unsearched();
    for (path, content, _) in &all {
        put(&project, path, content);
    }
    put(&project, "twice/a.xz", &all[0].1);
    let run = project.succeed(&["plan"]);
    let told: Vec<&str> = run
        .stderr
        .lines()
        .filter(|line| line.contains("[W130]"))
        .collect();
    for (path, _, why) in &all {
        let wanted = format!("warning[W130]: docker/side/all/{path}");
        let of_file = told.iter().filter(|line| line.starts_with(&wanted));
        let of_file: Vec<_> = of_file.collect();
        assert!(
            of_file.len() == 1 && of_file[0].contains(why),
            "{path}: {of_file:?} {}",
            run.stderr
        );
    }
    assert_eq!(told.len(), all.len() + 1, "{}", run.stderr);
    let again = project.succeed(&["plan"]);
    assert_eq!(
        again.stderr.matches("[W130]").count(),
        told.len(),
        "what was kept is told too"
    );
    allow(&project, &[("docker/side/all", "unsearched")]);
    let run = project.succeed(&["plan"]);
    assert!(!run.stderr.contains("W130"), "{}", run.stderr);
    count("P32", "files that cannot be searched", all.len(), &[]);
}

/// Runs `plan` under strace, and counts how often it opens files of the image.
fn opened(project: &TestProject) -> (Run, usize) {
    let trace = project.home().join("trace");
    let own = project.command(&["plan"]);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=?open,openat,?openat2", "-o"]);
    command.arg(&trace).arg(own.get_program()).arg("plan");
    command.current_dir(project.root());
    give_variables(&own, &mut command);
    let run = run(&mut command);
    let trace = fs_err::read_to_string(trace).unwrap();
    assert!(trace.contains("sparkpack.toml"), "{trace}");
    let opened = trace
        .lines()
        .filter(|line| line.contains("docker/side/all/data"));
    let count = opened.filter(|line| !line.contains("O_DIRECTORY")).count();
    (run, count)
}

#[test]
fn what_did_not_change_is_not_read_again_and_a_damaged_cache_is_only_slower() {
    let project = small::with_folder();
    put(&project, "data-a.txt", b"nothing\n");
    put(
        &project,
        "data-b.txt",
        format!("ID = '{}'\n", aws_id()).as_bytes(),
    );
    std::thread::sleep(SETTLED);
    // For the digest, and for the scan.
    let (run, count) = opened(&project);
    assert_eq!((errors(&run).len(), count), (1, 4), "{}", run.stderr);
    // A run that fails keeps no digests of files: they are read for those, and not for what was found.
    put(&project, "data-b.txt", b"nothing else\n");
    std::thread::sleep(SETTLED);
    let (run, _) = opened(&project);
    assert_eq!((errors(&run).len(), run.code), (0, 0), "{}", run.stderr);
    let (run, count) = opened(&project);
    assert_eq!((errors(&run).len(), count), (0, 0), "nothing changed");
    put(&project, "data-a.txt", aws_id().as_bytes());
    std::thread::sleep(SETTLED);
    let (run, count) = opened(&project);
    assert_eq!((errors(&run).len(), count), (1, 2), "{}", run.stderr);
    put(&project, "data-a.txt", b"nothing\n");
    std::thread::sleep(SETTLED);
    project.succeed(&["plan"]);
    for file in fs_err::read_dir(project.cache().join("secrets")).unwrap() {
        fs_err::write(file.unwrap().path(), b"secrets 1 sha256:00\n").unwrap();
    }
    let (run, count) = opened(&project);
    assert_eq!(
        (errors(&run).len(), count),
        (0, 2),
        "only for what was lost"
    );
    assert_eq!(opened(&project).1, 0);
}

/// By a daemon: it stops before anything is built, and what is allowed does not.
#[test]
fn a_build_stops_before_the_daemon_is_given_anything() {
    let project = small::with_folder();
    put(&project, "key.pem", pem("", "\n").as_bytes());
    let reference = project.reference("base");
    let run = project.run(&["build"]);
    assert_eq!((errors(&run).len(), run.code), (1, 2), "{}", run.stderr);
    assert_eq!(docker(&["images", "--quiet", &reference]), "");
    assert!(
        !run.stderr.contains("base"),
        "nothing began: {}",
        run.stderr
    );
    allow(&project, &[("docker/side/all/*.pem", "private-key")]);
    let run = project.run(&["build"]);
    // The root image is nowhere, which is told only then.
    assert!(
        run.code != 0 && errors(&run).is_empty() && run.stderr.contains(ROOT),
        "{}",
        run.stderr
    );
}

#[test]
fn the_page_of_rules_has_every_rule() {
    let page = include_str!("../../docs/secrets.md");
    let rows = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let rules = SecretRule::ALL.iter().map(|rule| rule.name());
    assert_eq!(rows.collect::<Vec<_>>(), rules.collect::<Vec<_>>());
}

#[test]
fn a_name_is_told_without_what_a_terminal_would_obey() {
    let project = small::with_folder();
    put(&project, "a\u{1b}[31mb\u{202e}.txt", aws_id().as_bytes());
    let inner = zipped(&[("c\u{1b}[2Jd.py", aws_id().as_bytes())]);
    put(&project, "own.whl", &inner);
    let run = project.run(&["plan"]);
    assert_eq!(errors(&run).len(), 2, "{}", run.stderr);
    assert!(
        run.stderr.contains("a\\u{1b}[31mb\\u{202e}.txt:1:1:"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("own.whl/c\\u{1b}[2Jd.py:1:1:"),
        "{}",
        run.stderr
    );
    assert!(
        !run.stderr.contains(['\u{1b}', '\u{202e}']),
        "{}",
        run.stderr
    );
}
