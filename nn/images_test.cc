#include "nn/images.h"

#include "gtest/gtest.h"
#include "nn/testing/gradient_check.h"
#include "tensor/cpu_backend.h"

namespace parley::nn {
namespace {

class ImagesTest : public GradientTest {
 protected:
  // Batches of images that all windows of the tests fit in: random sizes, and none at either end.
  std::vector<Shape> Images() {
    return {{Size(3), 2 + Size(3), 2 + Size(3), Size(3)}, {1, 3, 3, 1}, {0, 3, 4, 2}, {2, 4, 3, 0}};
  }
};

TEST_F(ImagesTest, GradientsOfConvolutions) {
  for (const Shape& shape : Images()) {
    for (const Window& window : {Window{3, 3, 1, 1}, Window{2, 3, 2, 0}, Window{1, 1, 1, 0},
                                 Window{3, 3, 2, 1}, Window{3, 1, 3, 2}}) {
      for (const int64_t out : {Size(3), int64_t{0}}) {
        SCOPED_TRACE(shape.ToString());
        Check([window](const Inputs& inputs) { return Conv2d(inputs[0], inputs[1], window); },
              {Random(shape), Random({window.height, window.width, shape[3], out})});
      }
    }
  }
}

TEST_F(ImagesTest, GradientsOfPooling) {
  for (const Shape& shape : Images()) {
    SCOPED_TRACE(shape.ToString());
    for (const Window& window :
         {Window{2, 2, 2, 0}, Window{3, 2, 1, 1}, Window{3, 3, 2, 1}, Window{1, 1, 1, 0}}) {
      Check([window](const Inputs& in) { return MaxPool2d(in[0], window); }, {Spread(shape)});
      Check([window](const Inputs& in) { return AvgPool2d(in[0], window); }, {Random(shape)});
    }
    Check([](const Inputs& in) { return GlobalAvgPool2d(in[0]); }, {Random(shape)});
  }
}

TEST(ImagesDeathTest, NamesShapesThatDoNotFit) {
  const Variable vector = RandomParameter({4}, 1), image = RandomParameter({1, 2, 2, 1}, 1);
  EXPECT_DEATH(MaxPool2d(vector, {2, 2, 2, 0}), "images are .*, not \\[4\\]");
  EXPECT_DEATH(MaxPool2d(image, {3, 3, 2, 0}), "a window of 3x3 with stride 2");
  EXPECT_DEATH(AvgPool2d(image, {2, 2, 0, 0}), "a window of 2x2 with stride 0");
  EXPECT_DEATH(Conv2d(image, RandomParameter({2, 2, 2, 3}, 1), {2, 2, 1, 0}),
               "a filter \\[2, 2, 2, 3\\] in a window of 2x2 on images \\[1, 2, 2, 1\\]");
}

}  // namespace
}  // namespace parley::nn
