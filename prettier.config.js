export default {
  singleQuote: true,
  printWidth: 110,
  trailingComma: 'all',
  arrowParens: 'always',
  // The templates of the page are laid out by hand: what is one thing on the screen is on one line.
  overrides: [{ files: 'src/ui/page/*.ts', options: { embeddedLanguageFormatting: 'off' } }],
};
