import '../src/index.ts';

declare module '../src/index.ts' {
  interface Databases {
    audit: true;
  }
}
