// Package page is the files of the monitor's one page. They need nothing from
// outside and no build.
package page

import "embed"

// Files are index.html and what it loads.
//
//go:embed index.html style.css app.js icon.svg
var Files embed.FS
