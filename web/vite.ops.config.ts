import { defineConfig } from 'vite';

/** The live page of the mesh, which the coordinator serves at `/ops/`. */
export default defineConfig({
  root: 'ops',
  base: '/ops/',
  build: {
    outDir: '../dist-ops',
    emptyOutDir: true,
    // One route serves every file.
    assetsDir: '',
    target: 'es2022',
    // The coordinator's content security policy allows no inline data.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
