module github.com/jitney-go/jitney/internal/oteltest

go 1.26.0

require (
	github.com/google/uuid v1.6.0
	github.com/jitney-go/jitney v0.0.0
	github.com/jitney-go/jitney/examples/orderflow v0.0.0
	github.com/stretchr/testify v1.12.1
	go.opentelemetry.io/otel v1.47.0
	go.opentelemetry.io/otel/metric v1.47.0
	go.opentelemetry.io/otel/sdk v1.47.0
	go.opentelemetry.io/otel/sdk/metric v1.47.0
	go.opentelemetry.io/otel/trace v1.47.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/go-logr/logr v1.4.4 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	go.opentelemetry.io/auto/sdk v1.2.1 // indirect
	go.opentelemetry.io/otel/log v1.47.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace (
	github.com/jitney-go/jitney => ../..
	github.com/jitney-go/jitney/examples/orderflow => ../../examples/orderflow
	github.com/jitney-go/jitney/sqljournal => ../../sqljournal
)

// A test of modernc.org/sqlite's needs it, and the proxy refuses the version that it asks for.
replace github.com/google/pprof => github.com/google/pprof v0.0.0-20260906184651-6331bc6350fe
