// Observability runs the order flow with an OpenTelemetry SDK, so that it can be looked at: metrics for
// Prometheus on -listen, traces over OTLP to -otlp, a Jaeger for instance, and the bus's log on standard error.
// It sends the sample's orders again and again, a few a second, until it is interrupted.
//
//	docker run --rm -p 16686:16686 -p 4318:4318 jaegertracing/jaeger:latest
//	go run . -otlp http://localhost:4318
//	curl localhost:9464/metrics
//
// dashboard.json is for Grafana, alerts.yml for Prometheus; see README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	prometheusexporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/examples/orderflow/intake"
	"github.com/jitney-go/jitney/examples/orderflow/retail"
	"github.com/jitney-go/jitney/examples/orderflow/shop"
)

type config struct {
	listen string
	otlp   string
	rate   float64
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var c config
	flag.StringVar(&c.listen, "listen", "localhost:9464", "`address` of /metrics")
	flag.StringVar(&c.otlp, "otlp", "", "`URL` of an OTLP receiver over HTTP for traces; none by default")
	flag.Float64Var(&c.rate, "rate", 20, "invoices a `second`")
	flag.Parse()
	err := run(ctx, c, os.Stderr, nil)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "observability: %v\n", err)
		os.Exit(1)
	}
}

// run sends orders until ctx ends. ready, if not nil, is told the address of /metrics.
func run(ctx context.Context, c config, log io.Writer, ready func(net.Addr)) error {
	if !(c.rate > 0) {
		return fmt.Errorf("-rate %v is not above 0", c.rate)
	}
	metrics, shutdown, err := install(ctx, c)
	if err != nil {
		return err
	}
	defer shutdown()
	invoices, err := sample()
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: metrics, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	if ready != nil {
		ready(listener.Addr())
	}
	fmt.Fprintf(log, "metrics on http://%s/metrics\n", listener.Addr())

	s := shop.New(shop.Config{Seed: uint64(time.Now().UnixNano())},
		jitney.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
	err = send(ctx, s, invoices, c.rate)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, s.Bus.Shutdown(last), server.Shutdown(last), unlessClosed(<-served))
}

func unlessClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// install makes the SDK the global one, where the bus finds it. It returns the handler of /metrics.
func install(ctx context.Context, c config) (metrics http.Handler, shutdown func(), err error) {
	about, err := resource.New(ctx, resource.WithFromEnv(), resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "orderflow")))
	if err != nil {
		return nil, nil, err
	}
	registry := prometheus.NewRegistry()
	exporter, err := prometheusexporter.New(prometheusexporter.WithRegisterer(registry))
	if err != nil {
		return nil, nil, err
	}
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter), sdkmetric.WithResource(about))
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(about)}
	if c.otlp != "" {
		traces, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(c.otlp+"/v1/traces"))
		if err != nil {
			return nil, nil, err
		}
		options = append(options, sdktrace.WithBatcher(traces))
	}
	tracers := sdktrace.NewTracerProvider(options...)
	otel.SetMeterProvider(meters)
	otel.SetTracerProvider(tracers)

	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	return mux, func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = errors.Join(tracers.Shutdown(last), meters.Shutdown(last)) // what cannot be sent now is lost with the process
	}, nil
}

// sample returns the sample's invoices.
func sample() (list []intake.Received, err error) {
	invoices, err := retail.Read(retail.Sample(), retail.SampleName, func(retail.Problem) {}) // it has some on purpose
	for _, v := range invoices {
		list = append(list, shop.Received(v))
	}
	return list, err
}

// send publishes invoices under ever new numbers, each as the request that it would come in by.
func send(ctx context.Context, s *shop.Shop, invoices []intake.Received, rate float64) error {
	tracer := otel.Tracer("observability")
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	for n := 0; ; n++ {
		r := invoices[n%len(invoices)]
		r.Invoice = fmt.Sprintf("%s-%d", r.Invoice, n/len(invoices))
		request, span := tracer.Start(ctx, "POST /orders")
		err := s.Bus.Publish(request, r)
		span.End()
		if err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
