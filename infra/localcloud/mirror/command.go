package mirror

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"townsquare/infra/localcloud/build"
)

// Command is `localcloud mirror`: what a person or a test says to the mirror of a cloud. stateDir gives the
// directory of the cloud called name; the mirror's is the folder "mirror" in it.
func Command(stateDir func(name string) (string, error)) *cobra.Command {
	var cloud string
	dir := func() (string, error) {
		state, err := stateDir(cloud)
		if err != nil {
			return "", err
		}
		// New makes the directory when the cloud goes up. Made here, a mistyped name would look like a cloud.
		dir := filepath.Join(state, "mirror")
		if _, err := os.Stat(dir); err != nil {
			return "", fmt.Errorf("no local cloud %s: type localcloud up --cloud %s", cloud, cloud)
		}
		return dir, nil
	}
	cmd := &cobra.Command{
		Use:   "mirror",
		Short: "Publish releases in a local cloud, and break them on purpose",
	}
	cmd.PersistentFlags().StringVar(&cloud, "cloud", "demo", "name of the local cloud")
	cmd.AddCommand(publishCommand(dir), withdrawCommand(dir), faultCommand(dir), statusCommand(dir), requestsCommand(dir))
	return cmd
}

type publishOptions struct {
	bad     []string
	only    bool
	edition string
	esr     []string
	ends    []string
}

func publishCommand(dir func() (string, error)) *cobra.Command {
	var opts publishOptions
	var about strings.Builder
	for _, f := range Faulties() {
		fmt.Fprintf(&about, "  %-14s %-8s %s\n", f.Name, f.Number, f.About)
	}
	var numbers []string
	for _, r := range Releases() {
		if r.Fault == "" {
			numbers = append(numbers, r.Number)
		}
	}
	cmd := &cobra.Command{
		Use:   "publish [version…]",
		Short: "Publish versions, after building what is not built yet",
		Long: "Publish versions: " + strings.Join(numbers, ", ") + ".\n" +
			"With --bad, releases that fail once they are installed:\n" + about.String(),
		Example: "  localcloud mirror publish 7.7.0\n  localcloud mirror publish --bad crash",
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := dir()
			if err != nil {
				return err
			}
			return publish(cmd, d, args, opts)
		},
	}
	cmd.Flags().StringSliceVar(&opts.bad, "bad", nil, "publish the release that fails in this way")
	cmd.Flags().BoolVar(&opts.only, "only", false, "withdraw everything else")
	cmd.Flags().StringVar(&opts.edition, "edition", string(Team), "team or enterprise")
	cmd.Flags().StringSliceVar(&opts.esr, "esr", nil, "mark this minor version (9.10) as Extended Support Release")
	cmd.Flags().StringSliceVar(&opts.ends, "ends", nil, "end the support of a minor version on a day (9.10=2027-05-15)")
	return cmd
}

func publish(cmd *cobra.Command, dir string, numbers []string, opts publishOptions) error {
	edition := Edition(opts.edition)
	if edition != Team && edition != Enterprise {
		return fmt.Errorf("no edition %q: there are team and enterprise", opts.edition)
	}
	ends, err := parseEnds(opts.ends)
	if err != nil {
		return err
	}
	var releases []Release
	for _, number := range numbers {
		r, err := Find(number)
		if err != nil {
			return err
		}
		releases = append(releases, r)
	}
	for _, name := range opts.bad {
		r, err := FindFaulty(name)
		if err != nil {
			return err
		}
		releases = append(releases, r)
	}
	if len(releases)+len(opts.esr)+len(ends) == 0 && !opts.only {
		return errors.New("publish what? Name a version, or a way to fail after --bad")
	}
	cache := build.NewCache(build.NewProgress(cmd.ErrOrStderr()))
	var packages []Package
	for _, r := range releases {
		p, err := Make(cmd.Context(), cache, r, edition)
		if err != nil {
			return err
		}
		packages = append(packages, p)
	}
	return Update(dir, func(s *Settings) error {
		if opts.only {
			s.Packages, s.ESR, s.Ends = nil, nil, nil
		}
		s.Publish(packages...)
		for _, minor := range opts.esr {
			if !slices.Contains(s.ESR, minor) {
				s.ESR = append(s.ESR, minor)
			}
		}
		for minor, day := range ends {
			if s.Ends == nil {
				s.Ends = map[string]time.Time{}
			}
			s.Ends[minor] = day
		}
		return nil
	})
}

func parseEnds(list []string) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	for _, text := range list {
		minor, date, _ := strings.Cut(text, "=")
		end, err := time.Parse(time.DateOnly, date)
		if err != nil {
			return nil, fmt.Errorf("--ends %s: write it as 9.10=2027-05-15", text)
		}
		out[minor] = end
	}
	return out, nil
}

func withdrawCommand(dir func() (string, error)) *cobra.Command {
	return &cobra.Command{
		Use:     "withdraw version…",
		Short:   "Take versions off the pages and the server",
		Example: "  localcloud mirror withdraw 9.10.0",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			d, err := dir()
			if err != nil {
				return err
			}
			return Update(d, func(s *Settings) error {
				s.Withdraw(args...)
				return nil
			})
		},
	}
}

func faultCommand(dir func() (string, error)) *cobra.Command {
	var f Fault
	var clear bool
	var about strings.Builder
	for _, kind := range []Kind{Cut, Truncated, Corrupt, Slow, Stall, Status, HTML, RateLimit, WrongSignature, NoSignature,
		ExpiredKey, WrongKey, WrongHash, TBD, Shape} {
		fmt.Fprintf(&about, "  %-16s %s\n", kind, kinds()[kind].about)
	}
	cmd := &cobra.Command{
		Use:   "fault what kind | fault --clear",
		Short: "Make something go wrong, until it is cleared or --times times",
		Long: "Make something go wrong. What: archive, policy, github, feed, key, a version (its archive), a version\n" +
			"with .sig (the signature of that), or a path. Kinds:\n" + about.String(),
		Example: "  localcloud mirror fault 9.10.0 cut --bytes 5000000 --times 2\n" +
			"  localcloud mirror fault github status --status 500\n" +
			"  localcloud mirror fault archive tbd --version 9.10.0\n" +
			"  localcloud mirror fault --clear",
		Args: func(_ *cobra.Command, args []string) error {
			if clear != (len(args) == 0) || !clear && len(args) != 2 {
				return errors.New("say what and how, as in `fault archive shape`, or only --clear")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			d, err := dir()
			if err != nil {
				return err
			}
			return Update(d, func(s *Settings) (err error) {
				if clear {
					s.Faults = nil
					return nil
				}
				f.Kind = Kind(args[1])
				if f.Path, err = PathOf(args[0], runtime.GOARCH); err != nil {
					return err
				}
				_, err = s.AddFault(f)
				return err
			})
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&clear, "clear", false, "make everything work again")
	flags.Int64Var(&f.Bytes, "bytes", 0, "for cut, truncated and corrupt: place in the answer")
	flags.Int64Var(&f.Rate, "rate", 0, "for slow: bytes a second")
	flags.IntVar(&f.Status, "status", 0, "for status: of the answer")
	flags.StringVar(&f.Version, "version", "", "for wrong-hash and tbd: entry of the page")
	flags.IntVar(&f.Times, "times", 0, "how often, 0: until it is cleared")
	return cmd
}

// status is what `localcloud mirror status --json` prints.
type status struct {
	Published   []Package            `json:"published"`
	ESR         []string             `json:"esr,omitempty"`
	Ends        map[string]time.Time `json:"ends,omitempty"`
	Faults      []Fault              `json:"faults"`
	Fingerprint string               `json:"fingerprint"`
}

func statusCommand(dir func() (string, error)) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Show what is published and what goes wrong",
		Example: "  localcloud mirror status --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := dir()
			if err != nil {
				return err
			}
			return printStatus(cmd.OutOrStdout(), d, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for machines")
	return cmd
}

func printStatus(out io.Writer, dir string, asJSON bool) error {
	s, err := ReadSettings(dir)
	if err != nil {
		return err
	}
	c, err := s.catalogue(time.Now())
	if err != nil {
		return err
	}
	st := status{
		Published: append(c.published(Team), c.published(Enterprise)...), ESR: s.ESR, Ends: s.Ends,
		Faults: append([]Fault{}, s.Faults...),
	}
	if text, err := os.ReadFile(filepath.Join(dir, FingerprintFile)); err == nil {
		st.Fingerprint = strings.TrimSpace(string(text))
	}
	if asJSON {
		return writeJSON(out, st)
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for _, p := range st.Published {
		m := c.minor(minorOf(p.Number))
		fmt.Fprintf(w, "%s\t%s\t%s\tsupported until %s\n", p.Number, p.Edition, build.Size(p.Size), m.Ended.Format(time.DateOnly))
	}
	for _, f := range st.Faults {
		fmt.Fprintf(w, "fault %s\n", f)
	}
	if len(st.Published) == 0 {
		fmt.Fprintln(w, "nothing is published: localcloud mirror publish 7.7.0")
	}
	return w.Flush()
}

func requestsCommand(dir func() (string, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "requests",
		Short: "Print what was asked of the mirror, one JSON line each",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := dir()
			if err != nil {
				return err
			}
			list, err := Requests(d)
			for _, r := range list {
				if err := json.NewEncoder(cmd.OutOrStdout()).Encode(r); err != nil {
					return err
				}
			}
			return err
		},
	}
}

func writeJSON(out io.Writer, value any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(value)
}
