//! What of the installed packages goes into `libs.zip` and what into `site-packages/`.
