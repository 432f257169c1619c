// What the sanitizers are told about packaged libraries that are not built for them. Compiled in
// rather than named by TSAN_OPTIONS and LSAN_OPTIONS, so that every program has it, wherever it is
// run from.

#if defined(__SANITIZE_ADDRESS__)

// The packaged c-ares, by which gRPC finds hosts, loses ten bytes with each look-up of "localhost".
extern "C" const char* __lsan_default_suppressions() { return "leak:libcares\n"; }

#endif

#if defined(__SANITIZE_THREAD__)

extern "C" const char* __tsan_default_options() {
  // Libraries that are not built for ThreadSanitizer look to it as if they had no locks.
  return "ignore_noninstrumented_modules=1";
}

// A status that two threads share is freed by the last one to drop it, after counting that in the
// packaged Abseil, unseen.
//
// The rest are reports that come only from gRPC's headers, which our compiler instruments while the
// library behind them is not: what one thread gives to a completion queue and another takes from
// it. `race` looks at whole stacks, so it names only functions that never call back into Parley;
// `race_top` looks at where the access itself is.
extern "C" const char* __tsan_default_suppressions() {
  return "race:absl::debian3::Status::UnrefNonInlined\n"
         "race:grpc::internal::CallOp\n"
         "race:grpc::internal::ClientCallbackUnaryImpl::ClientCallbackUnaryImpl\n"
         "race:grpc::internal::InterceptorBatchMethodsImpl\n"
         "race:>::InternalBindStream\n"
         "race:grpc_event_engine::experimental::ThreadPool\n"
         "race_top:^grpc::\n"
         "race_top:^void grpc::\n"
         "race_top:/usr/include/grpcpp/\n"
         "race_top:^std::_Function_base\n"
         "race_top:^std::function<void (bool)>\n";
}

#endif
