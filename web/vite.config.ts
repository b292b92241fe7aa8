import { defineConfig } from 'vitest/config';

export default defineConfig({
  root: 'page',
  // An edge serves the page at `/` and at `/m/{meeting}/{invite}`: only absolute paths fit both.
  base: '/',
  build: {
    outDir: '../dist',
    emptyOutDir: true,
    target: 'es2022',
    // The edge's content security policy allows no inline data.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  test: {
    root: '.',
    include: ['sdk/test/**/*.test.ts', 'page/test/**/*.test.ts', 'ops/test/**/*.test.ts'],
    environment: 'node',
  },
});
