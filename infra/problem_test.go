package infra

import "testing"

// A command names the stack that it is about: another one may be selected.
func TestCommandsNameTheStack(t *testing.T) {
	for text, want := range map[string]string{
		"pulumi config set townsquare:size s-4vcpu-8gb":                    "pulumi config set townsquare:size s-4vcpu-8gb --stack eu",
		"pulumi config rm --path 'townsquare:sshFrom[1]'":                  "pulumi config rm --path 'townsquare:sshFrom[1]' --stack eu",
		`pulumi config rm a:b; pulumi config set --path 'a:b[0]' "x y"`:    `pulumi config rm a:b --stack eu; pulumi config set --path 'a:b[0]' "x y" --stack eu`,
		"pulumi config set --secret a:b   # or: pulumi config set c:d no":  "pulumi config set --secret a:b --stack eu   # or: pulumi config set c:d no --stack eu",
		"scripts/new-host-key.sh STACK":                                    "scripts/new-host-key.sh eu",
		"a:b has no effect. To remove it, type: pulumi config rm a:b":      "a:b has no effect. To remove it, type: pulumi config rm a:b --stack eu",
		`pulumi config set --path 'a:b[0]' "$(cat ~/.ssh/id_ed25519.pub)"`: `pulumi config set --path 'a:b[0]' "$(cat ~/.ssh/id_ed25519.pub)" --stack eu`,
	} {
		if got := inStack(text, "eu"); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
