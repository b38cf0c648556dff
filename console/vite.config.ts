import tailwind from "@tailwindcss/vite";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const client = (file: string) =>
  fileURLToPath(new URL(`../clients/js/src/${file}.ts`, import.meta.url));

export default defineConfig({
  plugins: [tailwind()],
  // Relative, so that the files can lie in any folder.
  base: "./",
  resolve: {
    alias: [
      { find: /^@bulwark\/client$/, replacement: client("index") },
      { find: "@bulwark/client/audit", replacement: client("audit") },
      { find: "@bulwark/client/errors", replacement: client("errors") },
      { find: "@bulwark/client/react-query", replacement: client("react_query") },
    ],
  },
  worker: { format: "es" },
  build: {
    target: "es2023",
    emptyOutDir: true,
    // Without data: addresses and scripts that the policy would refuse.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
