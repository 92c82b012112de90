export default { base: './', esbuild: { jsx: 'automatic' }, build: { outDir: 'built', chunkSizeWarningLimit: 20000 , target: 'esnext'} };
