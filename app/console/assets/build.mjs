// Bundles the GraphiQL page and the editor's workers into ../static. Run by `make assets`.
import { build } from 'esbuild';
import { fileURLToPath } from 'node:url';

const shared = {
  bundle: true,
  minify: true,
  format: 'iife',
  target: 'es2022',
  legalComments: 'linked',
  outdir: '../static',
  define: { 'process.env.NODE_ENV': '"production"' },
  loader: { '.ttf': 'file', '.woff': 'file', '.woff2': 'file' },
  assetNames: '[name]',
};
const monaco = (path) => fileURLToPath(import.meta.resolve(path));

await build({ ...shared, entryPoints: { graphiql: 'graphiql.js' } });
await build({
  ...shared,
  entryPoints: {
    'editor.worker': monaco('monaco-editor/esm/vs/editor/editor.worker.js'),
    'json.worker': monaco('monaco-editor/esm/vs/language/json/json.worker.js'),
    'graphql.worker': monaco('monaco-graphql/esm/graphql.worker.js'),
  },
});
