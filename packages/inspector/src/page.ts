/** The parts of the page. */
export interface PageParts {
  /** With the lines `<!-- style -->` and `<!-- script -->` in the places of the other two. */
  readonly html: string;
  readonly css: string;
  readonly js: string;
  /** The version of this package. */
  readonly version: string;
}

/**
 * The build and the tests put the bundled files of `page/` into this module (page-build.ts), so that a user needs no
 * files at run time, whatever bundles the application.
 */
export const PAGE: PageParts = { html: '', css: '', js: '', version: '' };
