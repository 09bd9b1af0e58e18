// Writes ../static (or the folder given as argument): ES modules and a style sheet, the same bytes for the same sources.
import { build } from "esbuild";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const banner = "/* Built from widgets/frontend by `make frontend`. */";

await build({
  absWorkingDir: here,
  entryPoints: [
    { in: "src/chat.js", out: "chat" },
    { in: "src/compare.js", out: "compare" },
    { in: "src/math.js", out: "math" },
    { in: "src/usage.js", out: "usage" },
    { in: "src/css/chat.css", out: "chat" },
    { in: "src/css/usage.css", out: "usage" },
  ],
  outdir: process.argv[2] ?? join(here, "../static"),
  bundle: true,
  loader: { ".woff2": "binary" },
  minify: true,
  format: "esm",
  target: ["es2022", "chrome118", "firefox121", "safari17"],
  charset: "ascii",
  legalComments: "eof",
  banner: { js: banner, css: banner },
  logLevel: "warning",
});
