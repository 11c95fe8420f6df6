package archtest

// module is the path of this module; the paths in the tables are below it, ""
// being the root package.
const module = "github.com/leatlog/leat"

// layers is every package of the module, from the bottom up. A package may
// import those of the layers below its own, and none of its own layer. A path
// that ends in /... stands for all packages below it.
var layers = [][]string{
	{"internal/faultdisk", "internal/faultnet", "internal/history", "internal/procs"}, // tools of tests
	{"internal/base"},
	{"internal/recordbatch", "internal/assignor", "internal/wire", "raftmeta"},
	{"internal/store"},
	{"internal/coordinator", "internal/peer", "kafka", "replication"},
	{"internal/seam"},
	{""},
	{"leattest", "leatprom"},
	{"cmd/leat/internal/..."},
	{"cmd/...", "examples/..."},
	// What only checks the rest.
	{"internal/apitest", "internal/archtest", "internal/doctest", "docs/dashboard"},
}

// public is the layers' packages that a user of the module may import; the
// examples import no other of the module.
var public = []string{"", "leattest", "leatprom"}

// owners is the dependencies that few packages may import: by those of from,
// and by the tests of inTests too.
var owners = []struct {
	dependency    string
	from, inTests []string
}{
	{
		dependency: "github.com/cockroachdb/pebble",
		from:       []string{"internal/store", "internal/faultdisk"},
		inTests:    []string{""}, // vfs, to crash and to starve a whole Log
	},
	{
		dependency: "github.com/lni/dragonboat",
		from:       []string{"replication"},
	},
	{
		dependency: "github.com/prometheus/client_golang",
		from:       []string{"leatprom", "cmd/leat"},
		inTests:    []string{"docs/dashboard"},
	},
}

// banned is what no package may depend on, not even through others, outside of
// tests: what uses leat does not want to build it.
var banned = []string{
	"github.com/nats-io",
	"github.com/stretchr/testify",
	"github.com/twmb/franz-go/pkg/kfake",
	"github.com/twmb/franz-go/pkg/kgo",
}

// exempt is what may depend on something banned after all: nobody imports a program.
var exempt = map[string][]string{
	"cmd/leat": {"github.com/twmb/franz-go/pkg/kgo"}, // it talks to any broker
}

// pure is the packages that only compute: same input, same output.
var pure = []string{"internal/assignor"}

// impure is what a pure package does not import.
var impure = []string{"crypto/rand", "io", "log", "math/rand", "net", "os", "sync", "syscall", "time"}
