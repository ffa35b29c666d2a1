// @ts-check
import eslint from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

export default defineConfig(
  globalIgnores([
    '**/dist/',
    '**/coverage/',
    '**/reports/',
    '**/.turbo/',
    '.stryker-tmp/',
    'benchmarks/.cache/',
  ]),
  { linterOptions: { reportUnusedDisableDirectives: 'error', reportUnusedInlineConfigs: 'error' } },
  eslint.configs.recommended,
  tseslint.configs.strictTypeChecked,
  tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      eqeqeq: 'error',
      'object-shorthand': 'error',
      'prefer-const': ['error', { destructuring: 'all' }],

      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/consistent-type-exports': [
        'error',
        { fixMixedExportsWithInlineTypeSpecifier: true },
      ],
      // `import { type A }` alone would load the module for nothing.
      '@typescript-eslint/no-import-type-side-effects': 'error',
      // What a driver, a callback or a signal gives as its reason is passed on as it is.
      '@typescript-eslint/prefer-promise-reject-errors': [
        'error',
        { allowThrowingAny: true, allowThrowingUnknown: true },
      ],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true, requireDefaultForNonUnion: true },
      ],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // isolatedDeclarations asks for some of the types that this rule removes.
      '@typescript-eslint/no-inferrable-types': 'off',
      // `declare global { namespace Express }` is how a type gets into Express.
      '@typescript-eslint/no-namespace': ['error', { allowDeclarations: true }],
      // An async method without an await turns what it throws into a rejection.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
    },
  },
  {
    files: ['packages/*/src/**'],
    rules: {
      'no-console': 'error',
      '@typescript-eslint/prefer-readonly': 'error',
      '@typescript-eslint/explicit-module-boundary-types': 'error',
    },
  },
  {
    files: ['**/test/**'],
    rules: {
      // A test that is wrong about a value fails at the next line anyway.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // expect(object.method) compares, and does not call.
      '@typescript-eslint/unbound-method': 'off',
      // Express 4 declares its handlers without a promise.
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: { arguments: false } }],
    },
  },
  {
    files: ['**/*.{js,cjs,mjs}'],
    extends: [tseslint.configs.disableTypeChecked],
    languageOptions: {
      globals: {
        clearInterval: false,
        console: false,
        fetch: false,
        module: false,
        process: false,
        require: false,
        setInterval: false,
        URL: false,
      },
    },
    rules: { '@typescript-eslint/no-require-imports': 'off' },
  },
  // tsc knows the globals of a browser, and checks this script too.
  { files: ['examples/src/comparison/page/*.js'], rules: { 'no-undef': 'off' } },
);
