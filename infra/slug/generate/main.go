// The generator of package slug: it reads the enumerations of the provider's SDK, at the version in
// go.mod, and adds what a slug does not say itself.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const sdk = "github.com/pulumi/pulumi-digitalocean/sdk/v4"

func main() {
	output := flag.String("o", "generated.go", "file to write")
	flag.Parse()
	source, err := generate()
	if err == nil {
		err = os.WriteFile(*output, source, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// enumerations returns the constants of pulumiEnums.go by type.
func enumerations() (map[string][]string, error) {
	var stderr bytes.Buffer
	list := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", sdk)
	list.Stderr = &stderr
	dir, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("find the SDK: %w: %s", err, stderr.String())
	}
	path := filepath.Join(strings.TrimSpace(string(dir)), "go", "digitalocean", "pulumiEnums.go")
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	found := map[string][]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		// Each is written as NAME = Type("value").
		call, ok := spec.Values[0].(*ast.CallExpr)
		if !ok || len(call.Args) != 1 {
			return true
		}
		kind, isName := call.Fun.(*ast.Ident)
		value, isLiteral := call.Args[0].(*ast.BasicLit)
		if isName && isLiteral {
			if text, err := strconv.Unquote(value.Value); err == nil {
				found[kind.Name] = append(found[kind.Name], text)
			}
		}
		return true
	})
	return found, nil
}

type size struct{ vcpus, memoryMB, diskGB int }

var (
	// s-4vcpu-16gb-320gb-intel: family, processors, memory, disk
	sized = regexp.MustCompile(`^([a-z]+\d?(?:_\d)?)-(\d+)vcpu-(\d+)(gb|mb)(?:-(\d+)gb)?(-amd|-intel)?$`)
	// c-4-intel: two GiB a processor
	compute = regexp.MustCompile(`^c-(\d+)(-intel)?$`)
)

// dropletSize reads a slug. An error is a slug of a new form: it wants a line here.
func dropletSize(slug string) (size, error) {
	if m := compute.FindStringSubmatch(slug); m != nil {
		n := number(m[1])
		return size{n, n * 2048, disk("c", n, 2*n, m[2])}, nil
	}
	m := sized.FindStringSubmatch(slug)
	if m == nil {
		return size{}, fmt.Errorf("droplet size %q cannot be read", slug)
	}
	s := size{vcpus: number(m[2]), memoryMB: number(m[3]), diskGB: number(m[5])}
	if m[4] == "gb" {
		s.memoryMB *= 1024
	}
	if s.diskGB == 0 {
		s.diskGB = disk(m[1], s.vcpus, s.memoryMB/1024, m[6])
	}
	return s, nil
}

// number returns 0 for no digits.
func number(digits string) int {
	n, _ := strconv.Atoi(digits)
	return n
}

// disk returns the disk in GB of a size whose slug does not say it, or 0.
// Source: the output of `doctl compute size list`
func disk(family string, vcpus, memoryGB int, maker string) int {
	if family == "s" {
		return basic[[2]int{vcpus, memoryGB}]
	}
	if family == "so" && vcpus == 48 {
		return 7000
	}
	perVCPU := perVCPU[family]
	// The general-purpose sizes with Premium Intel have a fifth more.
	if maker == "-intel" && (family == "g" || family == "gd") {
		perVCPU = perVCPU * 6 / 5
	}
	return int(perVCPU * float64(vcpus))
}

// basic are the disks of the shared sizes by processors and memory.
var basic = map[[2]int]int{
	{1, 1}: 25, {1, 2}: 50, {2, 2}: 60, {2, 4}: 80, {2, 8}: 100,
	{4, 8}: 160, {4, 16}: 200, {8, 16}: 320, {8, 32}: 400,
}

// perVCPU are the disks of the dedicated sizes, for each processor.
var perVCPU = map[string]float64{
	"c": 12.5, "c2": 25, "g": 12.5, "gd": 25, "m": 25, "m3": 75, "m6": 150, "so": 150, "so1_5": 225,
}

// retired are sizes of the enumeration that can no longer be had.
// Source: "No longer supported" in provider/resources.go of github.com/pulumi/pulumi-digitalocean
var retired = regexp.MustCompile(`^(\d+[gm]b|s-1vcpu-3gb|s-3vcpu-1gb|s-6vcpu-16gb|s-8vcpu-32gb|s-(12|16|20|24|32)vcpu-\d+gb)$`)

func droplets(slugs []string) (map[string]size, error) {
	table := map[string]size{}
	var problems []error
	for _, slug := range slugs {
		// GPU droplets boot images of their own only.
		if strings.HasPrefix(slug, "gpu-") || retired.MatchString(slug) {
			continue
		}
		s, err := dropletSize(slug)
		table[slug] = s
		problems = append(problems, err)
	}
	return table, errors.Join(problems...)
}

// premium are the shapes of the database plans db-amd-* and db-intel-*, which the SDK does not
// enumerate. The plans gd-* and so1_5-* are the droplets' of that name.
// Source: layouts of pg in specification/resources/databases/responses/options.yml of github.com/digitalocean/openapi
var premium = []string{
	"1vcpu-1gb", "1vcpu-2gb", "2vcpu-4gb", "2vcpu-8gb", "4vcpu-8gb", "4vcpu-16gb", "8vcpu-32gb", "16vcpu-64gb",
}

func databases(enumerated []string, sizes map[string]size) (map[string]size, error) {
	slugs := slices.Clone(enumerated)
	for _, shape := range premium {
		slugs = append(slugs, "db-amd-"+shape, "db-intel-"+shape)
	}
	table := map[string]size{}
	var problems []error
	for _, slug := range slugs {
		_, shape, _ := strings.Cut(strings.TrimPrefix(slug, "db-"), "-")
		s, err := dropletSize("s-" + shape)
		table[slug] = s
		problems = append(problems, err)
	}
	for slug, s := range sizes {
		dedicated := strings.HasPrefix(slug, "gd-") || strings.HasPrefix(slug, "so1_5-")
		if dedicated && !strings.HasSuffix(slug, "-intel") {
			table[slug] = s
		}
	}
	return table, errors.Join(problems...)
}

func generate() ([]byte, error) {
	enums, err := enumerations()
	if err != nil {
		return nil, err
	}
	sizes, err := droplets(enums["DropletSlug"])
	if err != nil {
		return nil, err
	}
	plans, err := databases(enums["DatabaseSlug"], sizes)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString("// Code generated by go generate in infra/slug from " + sdk + ". DO NOT EDIT.\n\npackage slug\n\n")
	b.WriteString("// Droplets are the sizes of droplets that can be had.\nvar Droplets = map[string]Droplet{\n")
	for _, slug := range slices.Sorted(maps.Keys(sizes)) {
		s := sizes[slug]
		fmt.Fprintf(&b, "%q: {VCPUs: %d, MemoryMB: %d, DiskGB: %d},\n", slug, s.vcpus, s.memoryMB, s.diskGB)
	}
	b.WriteString("}\n\n// Databases are the plans of managed PostgreSQL.\nvar Databases = map[string]Database{\n")
	for _, slug := range slices.Sorted(maps.Keys(plans)) {
		fmt.Fprintf(&b, "%q: {MemoryMB: %d},\n", slug, plans[slug].memoryMB)
	}
	b.WriteString("}\n")
	return format.Source(b.Bytes())
}
