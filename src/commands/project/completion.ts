import { fail } from '../../errors.ts';
import { type Command, textOf } from '../frame/command.ts';
import { printJson } from '../frame/output.ts';

/** The flag behind which a shell passes the words of a command line; answered in `main`. */
export const completeFlag = '--complete';

const scripts: Readonly<Record<string, string>> = {
  bash: `_umzug_cluster() {
  local IFS=$'\\n'
  COMPREPLY=($(umzug-cluster ${completeFlag} "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
  [[ \${COMPREPLY[0]} == *= ]] && compopt -o nospace
}
complete -o default -F _umzug_cluster umzug-cluster
`,
  zsh: `_umzug_cluster() {
  local -a found
  found=(\${(f)"$(umzug-cluster ${completeFlag} "\${(@)words[2,CURRENT]}" 2>/dev/null)"})
  (( \${#found} )) || { _files; return }
  if [[ \${found[1]} == *= ]]; then compadd -U -S '' -- $found; else compadd -U -- $found; fi
}
compdef _umzug_cluster umzug-cluster
`,
  fish: `function __umzug_cluster_complete
  set -l words (commandline -opc)
  umzug-cluster ${completeFlag} $words[2..-1] (commandline -ct) 2>/dev/null
end
complete -c umzug-cluster -f -a '(__umzug_cluster_complete)'
`,
};

const shells = Object.keys(scripts);

/** `completion`: prints the script for a shell. */
export const completion: Command = {
  command: 'completion [shell]',
  describe: 'print a completion script for bash, zsh or fish',
  options: {},
  positionals: { shell: 'bash, zsh or fish (default: that of SHELL)' },
  words: shells,
  examples: [
    ['completion bash >> ~/.bashrc', 'commands, flags, migrations and settings'],
    ['completion zsh >> ~/.zshrc', 'the same for zsh'],
    ['completion fish > ~/.config/fish/completions/umzug-cluster.fish', 'and for fish'],
  ],
  run: async (flags, io) => {
    const shell = textOf(flags, 'shell') ?? io.env['SHELL']?.split('/').at(-1) ?? 'bash';
    const script = scripts[shell];
    if (script === undefined) {
      throw fail('USAGE', {
        message: `there is no completion for "${shell}"`,
        hint: `choose one of ${shells.join(', ')}: umzug-cluster completion bash`,
      });
    }
    if (flags['json'] === true) return printJson(io, { shell, script });
    await Promise.resolve(io.stdout.write(script));
  },
};
